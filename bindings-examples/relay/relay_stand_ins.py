"""The steps that C has in the relay, once more in Python, for the same job in one process; relay_steps.h says what each does."""

import hashlib
from pathlib import Path

from blazen import Event
from relay_steps import part_key, vocabulary_sha256

PART_BYTES_MAX = 8192


def read(ctx, event):
    events, parts = [Event("relay::TextsRead")], 0
    paths = event.value.split(b"\0")[:-1]
    for number, path in enumerate(paths, 1):
        ctx.state[f"file/{number:06}/path"] = path
        for text in split(Path(path.decode(errors="surrogateescape")).read_bytes()):
            parts += 1
            ctx.state[part_key(parts, "text")] = text
            ctx.state[part_key(parts, "sha256")] = hashlib.sha256(text).hexdigest()
            ctx.state[part_key(parts, "file")] = number
            events.append(Event.of("relay::Part", parts))
    ctx.state["files"], ctx.state["parts"] = len(paths), parts
    return events


def split(text):
    """Each part ends after the last line that is whole; at the end, or in a line that is too long, at the end."""
    while text:
        length = len(text) if len(text) < PART_BYTES_MAX else text.rfind(b"\n", 0, PART_BYTES_MAX) + 1
        length = length or PART_BYTES_MAX
        yield text[:length]
        text = text[length:]


def check(ctx, event):
    part = event.value
    if hashlib.sha256(ctx.state[part_key(part, "text")]).hexdigest() != ctx.state[part_key(part, "sha256")]:
        raise ValueError(f"part {part} is not as it was read")
    return Event.of("relay::Checked", part)


def carry(ctx, event):
    ctx.state["vocabulary/carried_sha256"] = vocabulary_sha256(ctx)
    return Event.of("relay::VocabularyCarried", ctx.state.stored("vocabulary"))


def shelve(ctx, event):
    ctx.state["vocabulary"] = event.value
    return Event("relay::Shelved")
