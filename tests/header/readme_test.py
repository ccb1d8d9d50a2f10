"""The README tells the truth: its C program is the example that is built and run, and every command that it names exists."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


class ReadmeTest(unittest.TestCase):
    def test_its_program_is_the_example_that_is_built(self):
        program = re.search(r"```c\n(.*?)```", README, re.S).group(1)
        self.assertEqual(program, (ROOT / "bindings-examples" / "c" / "hello.c").read_text())

    def test_every_path_that_it_names_is_there(self):
        named = set(re.findall(r"`((?:tools|src|tests|include|capi|bindings-examples)/[\w./-]*)", README))
        self.assertGreater(len(named), 10)
        self.assertEqual([name for name in sorted(named) if not (ROOT / name).exists()], [])


if __name__ == "__main__":
    unittest.main()
