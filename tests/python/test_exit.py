"""The interpreter exits while bodies are at work: status and output are those of the program, and nothing aborts."""

import subprocess
import sys
import textwrap
import unittest

from support import environment, needs_threads

LIMIT_S = 60

BEGIN = """
import asyncio, ctypes, sys, threading, time
import blazen

class Late:  # makes the end of the interpreter take so long that a thread which comes back meets it
    def __init__(self):
        self.wait = ctypes.CDLL(None).usleep
    def __del__(self):
        self.wait(300000)

sys.modules["late"] = Late()
entered = threading.Event()
workflow = blazen.Workflow("at work", idle="wait")

@workflow.step(accepts=blazen.START_EVENT, retries=blazen.Retry(3))
def step(ctx, event):
    entered.set()
"""

END = """
entered.wait()
print("left")
sys.exit(3)
"""

# Bodies that do not return by themselves.
BODIES = {
    "looks": """
        while not ctx.is_cancelled: time.sleep(0.0005)
        """,
    "computes": """
        while True: pass
        """,
    "sleeps": """
        while True: time.sleep(0.0005)
        """,
    "keeps on": """
        while True:
            try: time.sleep(0.0005)
            except Exception: pass
        """,
    "cleans up": """
        try:
            while True: time.sleep(0.0005)
        finally:
            time.sleep(0.01)
        """,
}

THREADS = """
runtime = blazen.Runtime(threads=2)
run = runtime.run(workflow)
"""

PUMP = """
runtime = blazen.Runtime("pump")
run = runtime.run(workflow)
threading.Thread(target=run.result, daemon=True).start()
"""

LOOP = """
async def main():
    async with blazen.aio.Runtime() as runtime:
        await runtime.run(workflow)
threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
"""


def script(begin, body):
    return BEGIN + textwrap.indent(textwrap.dedent(body), "    ") + "\n" + begin + END


def with_times(grace_s, limit_s):
    return f"import blazen._exit as at_exit\nat_exit._GRACE_S, at_exit._LIMIT_S = {grace_s}, {limit_s}\n"


def ended(program):
    """The status of a program, and what it has said on either stream."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, timeout=LIMIT_S, check=False, text=True
    )
    return done.returncode, done.stdout, done.stderr


@needs_threads
class ExitTest(unittest.TestCase):
    def leaves(self, begin, *names):
        for name in names:
            with self.subTest(name):
                self.assertEqual(ended(script(with_times(0.1, 50) + begin, BODIES[name])), (3, "left\n", ""))

    def test_with_threads_of_the_engine(self):
        self.leaves(THREADS, *BODIES)

    def test_with_a_pump_on_another_thread(self):
        self.leaves(PUMP, "computes", "cleans up")

    def test_with_a_loop_on_another_thread(self):
        self.leaves(LOOP, "computes")

    def test_what_waits_for_ever_outside_of_python_is_said(self):
        status, output, said = ended(script(with_times(0.1, 0.5) + THREADS, "threading.Event().wait()"))
        self.assertEqual((status, output), (3, "left\n"))
        self.assertEqual(said, "blazen: at exit, 1 callbacks are still under way\n")


if __name__ == "__main__":
    unittest.main()
