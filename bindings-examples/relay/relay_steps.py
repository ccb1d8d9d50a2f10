"""The steps of the relay that are written in Python. relay_steps.h says what those in C keep in the state; these add

    vocabulary               NATIVE  a Vocabulary of all parts
    vocabulary/made_sha256   JSON    of its bytes, when it was made
    part/N/notes             NATIVE  Notes
    title                    JSON    what the human answered
    registered_at_attempt    JSON    the attempt of `register` that got through

Every write is keyed by what it is about: a step that runs again after a resume writes the same once more.
"""

import asyncio
import collections
import hashlib
import json
import os
from pathlib import Path

import relay_digest
from blazen import Event, StopEvent
from relay_words import Notes, Vocabulary

TOP_WORDS = 8


def part_key(number, what):
    return f"part/{number:06}/{what}"


# ---- survey ----


def survey(ctx, event):
    """Reads all parts once for the words in them."""
    vocabulary = Vocabulary()
    for part in range(1, ctx.state["parts"] + 1):
        vocabulary.survey(ctx.state[part_key(part, "text")])
    ctx.state["vocabulary"] = vocabulary
    ctx.state["vocabulary/made_sha256"] = vocabulary_sha256(ctx)
    return Event("relay::VocabularyMade")


def vocabulary_sha256(ctx):
    """Of the bytes as they stand in the state, and in any snapshot."""
    return hashlib.sha256(ctx.state.stored("vocabulary").data).hexdigest()


# ---- analyse ----


class Desk:
    """Analyses parts on other threads.

    share: which share of the parts it takes, before it leaves every further one open; 1.0: all.
    """

    def __init__(self, share=1.0):
        self.done = 0
        self._share = share
        self._taken = self._left_open = 0

    async def analyse(self, ctx, event):
        """The step."""
        if self._taken >= self._quota(ctx.state["parts"]):
            self._left_open += 1
            await asyncio.get_running_loop().create_future()  # for ever: whoever has the snapshot does it
        self._taken += 1
        await asyncio.to_thread(analyse_part, ctx, event.value)
        self.done += 1
        return Event.of("relay::Analysed", event.value)

    def has_stopped(self, parts, concurrency_max):
        """Whether its share is done, and as many parts lie open as may at once."""
        quota = self._quota(parts)
        return self.done == quota and self._left_open == min(concurrency_max, parts - quota)

    def _quota(self, parts):
        return int(parts * self._share)


def analyse_part(ctx, part):
    ctx.state[part_key(part, "notes")] = Notes.of(ctx.state[part_key(part, "text")])


# ---- title and register ----


async def title(ctx, event):
    """Asks a human. Where the answer comes in another process, it is called again there."""
    ctx.state["title"] = await ctx.ask("What is this digest to be called?", request_id="title")
    return Event("relay::Titled")


class Busy(Exception):
    """The register cannot be reached now: the step is to be tried again."""


def register(ctx, event):
    """Gets through at the third attempt."""
    if ctx.attempt < 3:
        raise Busy("the line to the register is busy")
    ctx.state["registered_at_attempt"] = ctx.attempt
    return Event("relay::Registered")


class HeldLine:
    """A line to the register that rings until it is hung up, and was then busy."""

    def __init__(self):
        self.parts = None  # not called yet
        self._was_busy = asyncio.Event()

    async def register(self, ctx, event):
        self.parts = ctx.state["parts"]
        await self._was_busy.wait()
        raise Busy("the line to the register was busy")

    def hang_up(self):
        self._was_busy.set()


# ---- finish ----


def finish(ctx, event):
    """The join of all that has come of the reading. What it puts together depends on the texts alone, not on the order of
    the work."""
    parts = ctx.state["parts"]
    events = ctx.events()
    analysed, checked = _parts_in(events, "relay::Analysed"), _parts_in(events, "relay::Checked")
    vocabulary = ctx.state["vocabulary"]
    files = [_File(ctx, number) for number in range(1, ctx.state["files"] + 1)]
    for part in range(1, parts + 1):
        files[ctx.state[part_key(part, "file")] - 1].add(ctx, part)
    words = sum((file.words for file in files), collections.Counter())
    telling = [(word, count) for word, count in words.items() if vocabulary.is_telling(word, parts)]
    result = {
        "title": ctx.state["title"],
        "registered_at_attempt": ctx.state["registered_at_attempt"],
        "files": [file.summary() for file in files],
        "parts": parts,
        "distinct": len(words),
        "top_words": [list(item) for item in sorted(telling, key=lambda item: (-item[1], item[0]))[:TOP_WORDS]],
        "analysed": len(analysed),
        "checked": len(checked),
        "each_once": analysed == checked == list(range(1, parts + 1)),
        "joined": ctx.joined.arrived,
        "hashes_agreed": sum(file.hashes_agreed for file in files),
        "vocabulary": {
            "words": len(vocabulary),
            "made": ctx.state["vocabulary/made_sha256"],
            "carried": ctx.state["vocabulary/carried_sha256"],
            "found": vocabulary_sha256(ctx),
        },
    }
    return StopEvent(result=result)


def compose(ctx, event):
    """The stage of the digest: what the analysis has found, and the same for people."""
    return StopEvent(result={**event.to_dict(), "digest": relay_digest.table(event.to_dict())})


def _parts_in(events, kind):
    return sorted(event.value for event in events if event.event_type == kind)


def write_end(ended, run, result_path, target):
    """Writes what a run came to, and its last snapshot; gives the former."""
    result = ended.final_output
    Path(result_path).write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    Path(target).write_bytes(run.snapshot())
    return result


class _File:
    """One file, as its parts are added in order."""

    def __init__(self, ctx, number):
        self._path = ctx.state[f"file/{number:06}/path"]
        self._sha256 = hashlib.sha256()
        self._parts = self._bytes = self._lines = 0
        self.words = collections.Counter()
        self.hashes_agreed = 0

    def add(self, ctx, part):
        notes = ctx.state[part_key(part, "notes")]
        self._sha256.update(ctx.state[part_key(part, "text")])
        self._parts += 1
        self._bytes += notes.bytes
        self._lines += notes.lines
        self.words.update(notes.words)
        self.hashes_agreed += notes.sha256 == ctx.state[part_key(part, "sha256")]  # Python's, and C's

    def summary(self):
        return {
            "path": os.fsdecode(self._path).encode("utf-8", "replace").decode(),
            "parts": self._parts,
            "bytes": self._bytes,
            "lines": self._lines,
            "words": sum(self.words.values()),
            "distinct": len(self.words),
            "longest": max(self.words, key=lambda word: (len(word), word), default=""),
            "sha256": self._sha256.hexdigest(),
        }
