"""What the relay finds in texts: the two kinds of Python object that travel through the run as pickles."""

import collections
import hashlib
import re
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def words_of(text):
    """The words of a text that is bytes: UTF-8, or something like it."""
    return _WORD.findall(text.decode("utf-8", "replace").lower())


class Vocabulary(collections.Counter):
    """In how many parts each word occurs."""

    PARTS_MIN = 4  # of fewer parts, nothing can be said

    def survey(self, text):
        self.update(sorted(set(words_of(text))))

    def is_telling(self, word, parts):
        """Whether a word says something about the texts: one that stands in most parts of them does not."""
        return len(word) > 3 and (parts < self.PARTS_MIN or self[word] * 2 <= parts)


@dataclass
class Notes:
    """What the analysis of one part found."""

    bytes: int
    lines: int
    words: collections.Counter
    sha256: str

    @classmethod
    def of(cls, text):
        words = collections.Counter(words_of(text))
        return cls(len(text), text.count(b"\n"), words, hashlib.sha256(text).hexdigest())
