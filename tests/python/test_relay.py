"""The relay's own SHA-256 against the standard's vectors and hashlib, and its claims where they are broken."""

import ctypes
import hashlib
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings-examples" / "relay"))
import relay_claims  # noqa: E402
import relay_words  # noqa: E402

STEPS = Path(os.environ.get("BLAZEN_LIBRARY", "")).parent / "bindings-examples" / "relay" / "librelay_steps.so"


@unittest.skipUnless(STEPS.exists(), "the relay is not built beside BLAZEN_LIBRARY")
class Sha256Test(unittest.TestCase):
    def setUp(self):
        self.function = ctypes.CDLL(str(STEPS)).relay_sha256
        self.function.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p)

    def sha256(self, data):
        hex_digits = ctypes.create_string_buffer(65)
        self.function(data, len(data), hex_digits)
        return hex_digits.value.decode()

    def test_vectors_of_the_standard(self):
        abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        two_blocks = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        self.assertEqual(self.sha256(b"abc"), abc)
        self.assertEqual(self.sha256(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), two_blocks)
        self.assertEqual(self.sha256(b"a" * 1_000_000), million)

    def test_every_length_around_the_blocks(self):
        for length in range(260):
            data = bytes(range(length % 256)) + b"x" * (length - length % 256)
            self.assertEqual(self.sha256(data), hashlib.sha256(data).hexdigest(), length)


class ClaimsTest(unittest.TestCase):
    def test_a_claim_that_does_not_hold_is_told(self):
        self.assertTrue(relay_claims.report([("a", True)], quiet=True))
        self.assertFalse(relay_claims.report([("a", True), ("b", False)], quiet=True))

    def test_words(self):
        self.assertEqual(relay_words.words_of("Don’t re-use X_1 Äpfel".encode() + b"\xff ok"),
                         ["don’t", "re-use", "x", "äpfel", "ok"])


if __name__ == "__main__":
    unittest.main()
