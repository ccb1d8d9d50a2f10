"""Every object comes back from the state as the type that it was, in the tier that it belongs to."""

import collections
import dataclasses
import datetime
import enum
import threading
import unittest

from support import blazen, one_step, result_of
from blazen import tiers


@dataclasses.dataclass
class Profile:
    name: str
    score: float


class Colour(enum.IntEnum):
    RED = 1


class Count(collections.Counter):
    pass


def stored_and_read(thing):
    """How the state stores an object, and what it gives back."""
    seen = {}

    def keep(ctx, event):
        ctx.state["key"] = thing
        seen["stored"], seen["read"] = ctx.state.stored("key"), ctx.state["key"]

    result_of(one_step(keep), mode="pump")
    return seen["stored"], seen["read"]


class TiersTest(unittest.TestCase):
    def check(self, thing, tag, codec=""):
        stored, read = stored_and_read(thing)
        self.assertEqual((stored.tag, stored.codec), (tag, codec))
        self.assertEqual(read, thing)
        self.assertIs(type(read), type(thing))

    def test_bytes_are_bytes(self):
        for thing in (b"", b"\0\xff", b"x" * 100_000):
            self.check(thing, blazen.Tag.BYTES)

    def test_plain_data_is_json(self):
        for thing in (None, True, 0, -(2**70), 1.5, -0.0, "", "a\0b é 🦊", [], {}, {"a": [1, {"b": None}]}):
            with self.subTest(thing=thing):
                self.check(thing, blazen.Tag.JSON)

    def test_json_is_readable_text(self):
        self.assertEqual(stored_and_read({"é": [1, "x"]})[0].data, '{"é":[1,"x"]}'.encode())

    def test_what_json_would_change_is_pickled(self):
        moment = datetime.datetime(2024, 2, 29)
        circular = []
        circular.append(circular)
        for thing in (
            (1, 2), {1: "a"}, {1, 2}, Colour.RED, Count("abba"), Profile("Alice", 0.95), moment, float("inf"),
            "\ud800", [(1,)], {"a": Colour.RED}, 10**5000,
        ):
            with self.subTest(kind=type(thing)):
                self.check(thing, blazen.Tag.NATIVE, "python/pickle")
        stored, read = stored_and_read(circular)
        self.assertEqual(stored.tag, blazen.Tag.NATIVE)
        self.assertIs(read[0], read)

    def test_what_is_too_deep_for_json_is_kept_all_the_same(self):
        for depth, kept_as_json in ((400, True), (513, False), (100_000, False)):
            thing = []
            for _ in range(depth):
                thing = [thing]
            seen = []
            step = one_step(lambda ctx, event: seen.append((ctx.set("key", thing), ctx.get("key"), len(ctx.state))))
            result_of(step, mode="pump")
            inner = seen[0][1]
            self.assertIsInstance(inner[0][0][0], list)
            self.assertEqual(tiers.pack_plain(thing) is not None, kept_as_json)

    def test_bytearray_comes_back_as_bytes(self):
        self.assertEqual(stored_and_read(bytearray(b"ab")), ((blazen.Tag.BYTES, b"ab", ""), b"ab"))

    def test_anothers_native_value_goes_through_unread(self):
        foreign = blazen.Stored(blazen.Tag.NATIVE, b"\x01\x02", "ruby/marshal")
        self.assertEqual(stored_and_read(foreign), (foreign, foreign))

    def test_the_stored_form_of_a_live_object_is_no_value(self):
        def step(ctx, event):
            ctx.session["lock"] = threading.Lock()
            with self.assertRaisesRegex(TypeError, "not as .*LIVE"):
                ctx.state["lock"] = ctx.session.stored("lock")
            return len(ctx.state)

        self.assertEqual(result_of(one_step(step), mode="pump"), 0)

    def test_state_refuses_a_live_object(self):
        with self.assertRaises(blazen.BlazenError) as caught:
            stored_and_read(threading.Lock())
        self.assertEqual(caught.exception.__cause__.status, blazen.Status.WRONG_TAG)

    def test_set_finds_the_tier_and_get_the_object(self):
        lock = threading.Lock()

        def step(ctx, event):
            ctx.set("a", [1])
            ctx.set("b", lock)
            first = (ctx.get("a"), ctx.get("b") is lock, "b" in ctx.state, "b" in ctx.session)
            ctx.set("b", 2)
            ctx.set("a", lock)
            return [*first, ctx.get("b"), "b" in ctx.session, ctx.get("a") is lock, "a" in ctx.state, ctx.get("c", 7)]

        self.assertEqual(result_of(one_step(step)), [[1], True, False, True, 2, False, True, False, 7])

    def test_the_result_keeps_its_identity_unless_it_is_plain_data(self):
        profile = Profile("Alice", 1.0)
        self.assertIs(result_of(one_step(lambda ctx, event: profile)), profile)
        self.assertEqual(result_of(one_step(lambda ctx, event: {"a": b"".hex()})), {"a": ""})
        self.assertEqual(result_of(one_step(lambda ctx, event: event.value), Profile("Bob", 2.0)), Profile("Bob", 2.0))


if __name__ == "__main__":
    unittest.main()
