"""The codec `blazen/cbor`: deterministic CBOR, but that maps keep their order, of plain data that JSON does not hold; all
languages read and write it.

bytes                        byte string
int, float, NaN, infinities  as in RFC 8949, integers of any size, floats in the shortest form that is exact
str with a lone surrogate    tag 65 (UTF-16, big endian; 69, little endian, is read) of a byte string
datetime with an offset      tag 0; date: tag 1004
an object of one platform    tag 27 [codec, bytes]
"""

import datetime
import math
import struct
from collections.abc import Callable
from typing import Any

CODEC = "blazen/cbor"
_DEPTH_MAX = 500
_UTF16, _UTF16_LITTLE, _OBJECT, _INSTANT, _SECONDS, _DATE = 65, 69, 27, 0, 1, 1004


class NotPlain(Exception):
    """This data is none that CBOR holds, or goes round in a circle."""


def dump(thing: Any, embed: Callable[[Any], tuple[str, bytes]]) -> bytes:
    """The bytes of plain data. embed(object) gives codec and bytes of what is not plain."""
    out = bytearray()
    _write(out, thing, embed, 0)
    return bytes(out)


def _head(out: bytearray, major: int, number: int) -> None:
    major <<= 5
    if number < 24:
        out.append(major | number)
        return
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            out.append(major | extra)
            out += number.to_bytes(size, "big")
            return
    raise NotPlain(f"{number} items")


def _bytes(out: bytearray, major: int, data: bytes) -> None:
    _head(out, major, len(data))
    out += data


def _write(out: bytearray, thing: Any, embed: Callable[[Any], tuple[str, bytes]], depth: int) -> None:
    kind = type(thing)
    if thing is None or kind is bool:
        out.append(0xF6 if thing is None else 0xF5 if thing else 0xF4)
    elif kind is int:
        _write_int(out, thing)
    elif kind is float:
        _write_float(out, thing)
    elif kind is str:
        _write_text(out, thing)
    elif kind is bytes:
        _bytes(out, 2, thing)
    elif kind in (list, dict) and depth == _DEPTH_MAX:
        raise NotPlain("it is too deep, or goes round in a circle")
    elif kind is list:
        _head(out, 4, len(thing))
        for item in thing:
            _write(out, item, embed, depth + 1)
    elif kind is dict and all(type(key) is str for key in thing):
        _write_map(out, thing, embed, depth)
    elif kind is datetime.datetime and type(thing.tzinfo) is datetime.timezone and thing.fold == 0:
        _head(out, 6, _INSTANT)
        _write_text(out, thing.isoformat())
    elif kind is datetime.date:
        _head(out, 6, _DATE)
        _write_text(out, thing.isoformat())
    else:
        codec, data = embed(thing)
        _head(out, 6, _OBJECT)
        _head(out, 4, 2)
        _write_text(out, codec)
        _bytes(out, 2, data)


def _write_int(out: bytearray, number: int) -> None:
    major, rest = (0, number) if number >= 0 else (1, -1 - number)
    if rest < 1 << 64:
        _head(out, major, rest)
    else:
        _head(out, 6, 2 + major)
        _bytes(out, 2, rest.to_bytes((rest.bit_length() + 7) // 8, "big"))


def _write_float(out: bytearray, number: float) -> None:
    if math.isnan(number):
        out += b"\xf9\x7e\x00"
        return
    for first, form in ((0xF9, ">e"), (0xFA, ">f"), (0xFB, ">d")):
        try:
            packed = struct.pack(form, number)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == number:
            out.append(first)
            out += packed
            return


def _write_text(out: bytearray, text: str) -> None:
    try:
        _bytes(out, 3, text.encode())
    except UnicodeEncodeError:
        _head(out, 6, _UTF16)
        _bytes(out, 2, text.encode("utf-16-be", "surrogatepass"))


def _write_map(out: bytearray, thing: dict[str, Any], embed: Callable[[Any], tuple[str, bytes]], depth: int) -> None:
    _head(out, 5, len(thing))
    for key, value in thing.items():
        _write_text(out, key)
        _write(out, value, embed, depth + 1)


def load(data: bytes, extract: Callable[[str, bytes], Any]) -> Any:
    """The data of these bytes. extract(codec, bytes) makes an object of a platform again."""
    reader = _Reader(data, extract)
    thing = reader.read(0)
    if reader.at != len(data):
        raise ValueError(f"{CODEC} data has {len(data) - reader.at} bytes too many")
    return thing


class _Reader:
    def __init__(self, data: bytes, extract: Callable[[str, bytes], Any]) -> None:
        self.data, self.at, self.extract = data, 0, extract

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) != count:
            raise ValueError(f"{CODEC} data ends at byte {len(self.data)}, in the middle of a value")
        self.at += count
        return taken

    def read(self, depth: int) -> Any:
        if depth > _DEPTH_MAX + 2:
            raise ValueError(f"{CODEC} data is too deep")
        first = self.take(1)[0]
        major, extra = first >> 5, first & 31
        if major == 7:
            return self._simple(extra)
        number = extra if extra < 24 else int.from_bytes(self.take(self._size(extra)), "big")
        if major == 0:
            return number
        if major == 1:
            return -1 - number
        if major == 2:
            return self.take(number)
        if major == 3:
            return self.take(number).decode()
        if major == 4:
            return [self.read(depth + 1) for _ in range(number)]
        if major == 5:
            return {self.read(depth + 1): self.read(depth + 1) for _ in range(number)}
        return self._tagged(number, depth)

    def _size(self, extra: int) -> int:
        if extra > 27:
            raise ValueError(f"{CODEC} data has no length at byte {self.at}")
        return 1 << extra - 24

    def _simple(self, extra: int) -> Any:
        if extra in (20, 21, 22, 23):
            return (False, True, None, None)[extra - 20]
        form = {25: ">e", 26: ">f", 27: ">d"}.get(extra)
        if form is None:
            raise ValueError(f"{CODEC} data has an unknown value at byte {self.at}")
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def _tagged(self, tag: int, depth: int) -> Any:
        content = self.read(depth + 1)
        if tag in (2, 3):
            number = int.from_bytes(content, "big")
            return number if tag == 2 else -1 - number
        if tag in (_UTF16, _UTF16_LITTLE):
            return content.decode("utf-16-be" if tag == _UTF16 else "utf-16-le", "surrogatepass")
        if tag == _INSTANT:
            return datetime.datetime.fromisoformat(content)
        if tag == _SECONDS:
            return datetime.datetime.fromtimestamp(content, datetime.UTC)
        if tag == _DATE:
            return datetime.date.fromisoformat(content)
        if tag == _OBJECT:
            return self.extract(content[0], content[1])
        raise ValueError(f"{CODEC} data has the tag {tag}, which this version does not know")
