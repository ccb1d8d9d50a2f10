"""BlazenState: each field is an entry of its own, transient ones come back by restore(), field stores keep theirs."""

import dataclasses
import sqlite3
import tempfile
import threading
import unittest
from dataclasses import dataclass, field
from pathlib import Path

from support import TIMEOUT_S, blazen, one_step, result_of, run_python


@dataclass
class Profile:
    name: str


@dataclass
class Pipeline(blazen.BlazenState):
    path: str = ""
    count: int = 0
    raw: bytes = b""
    profile: object = None
    tags: list = field(default_factory=list)
    db: object = None

    class Meta:
        transient = {"db"}
        store_by = {}

    def restore(self):
        if self.path:
            self.db = sqlite3.connect(self.path)


class Folder(blazen.FieldStore):
    """Keeps values, and says what was done."""

    def __init__(self):
        self.kept, self.done = {}, []

    def save(self, key, value):
        self.done.append(("save", key))
        self.kept[key] = value

    def load(self, key):
        self.done.append(("load", key))
        return self.kept[key]


folder = Folder()


@dataclass
class Model(blazen.BlazenState):
    name: str = ""
    weights: bytes = b""

    class Meta:
        store_by = {"weights": folder}


def in_step(function):
    """What a step says that gets the context."""
    return result_of(one_step(lambda ctx, event: function(ctx)), mode="pump")


class Writes(dict):
    """The versions of the entries of the state, to see which were written."""

    def __init__(self, ctx):
        super().__init__({name: ctx.state.version(name) for name in ctx.state})

    def since(self, before):
        return sorted(name for name in self.keys() | before.keys() if self.get(name) != before.get(name))


class BlazenStateTest(unittest.TestCase):
    def test_it_comes_back_with_its_transient_fields_restored(self):
        def step(ctx):
            given = Pipeline(":memory:", 7, b"\0", Profile("Ada"), ["a"])
            given.restore()
            ctx.set("state", given)
            got = ctx.get("state")
            self.assertIs(type(got), Pipeline)
            self.assertEqual(dataclasses.replace(got, db=None), dataclasses.replace(given, db=None))
            self.assertEqual(got.db.execute("SELECT 1").fetchone(), (1,))
            self.assertIsNot(got.db, given.db)
            self.assertIsNone(ctx.get("nothing"))
            self.assertEqual(ctx.get("nothing", 5), 5)

        in_step(step)

    def test_each_field_is_an_entry_in_its_own_tier(self):
        def step(ctx):
            ctx.set("state", Pipeline("p", 7, b"\0", Profile("Ada"), ["a"], db=threading.Lock()))
            tags = {name: ctx.state.stored(name).tag.name for name in ctx.state}
            return [tags, ctx.state["state.count"], ctx.state["state.__blazen_meta__"]["transient"]]

        tags, count, transient = in_step(step)
        json = dict.fromkeys(["state.__blazen_meta__", "state.path", "state.count", "state.tags"], "JSON")
        self.assertEqual(tags, {**json, "state.raw": "BYTES", "state.profile": "NATIVE"})
        self.assertEqual((count, transient), (7, ["db"]))

    def test_only_what_has_changed_is_written(self):
        def step(ctx):
            state = Pipeline(tags=["a"])
            ctx.set("state", state)
            before = Writes(ctx)
            ctx.set("state", state)
            self.assertEqual(Writes(ctx).since(before), [])
            state.count, state.db = 8, object()
            state.tags.append("b")
            ctx.set("state", state)
            self.assertEqual(Writes(ctx).since(before), ["state.count", "state.tags"])
            self.assertEqual(ctx.get("state"), Pipeline(count=8, tags=["a", "b"]))

        in_step(step)

    def test_what_cannot_be_stored_is_named_and_nothing_is_written(self):
        def step(ctx):
            ctx.set("state", Pipeline(count=1))
            with self.assertRaisesRegex(TypeError, "'profile' of Pipeline cannot be stored"):
                ctx.set("state", Pipeline(count=2, profile=threading.Lock()))
            return ctx.get("state").count

        self.assertEqual(in_step(step), 1)

    def test_a_key_has_one_value_whatever_it_is(self):
        lock = threading.Lock()

        def step(ctx):
            for given in (Pipeline(count=1), 5, Pipeline(count=2), lock, Model("m"), Pipeline(count=3), lock):
                ctx.set("key", given)
                self.assertEqual(ctx.get("key"), given)
                self.assertEqual("key" in ctx.session, given is lock)
            self.assertEqual(list(ctx.state), [])

        in_step(step)

    def test_keys_with_dots_do_not_meet(self):
        def step(ctx):
            keys = ["a", "a.count", "a\\", "a\\.count", "a.", ".", "é.🦊"]
            for number, key in enumerate(keys):
                ctx.set(key, Pipeline(count=number))
            self.assertEqual([ctx.get(key).count for key in keys], list(range(len(keys))))
            for key in keys:
                ctx.set(key, None)
            self.assertEqual(sorted(ctx.state), sorted(keys))

        in_step(step)

    def test_two_objects_share_nothing(self):
        def step(ctx):
            ctx.set("one", Pipeline(tags=["a"]))
            first, second = ctx.get("one"), ctx.get("one")
            first.tags.append("b")
            return [second.tags, ctx.get("one").tags]

        self.assertEqual(in_step(step), [["a"], ["a"]])

    def test_a_class_that_has_changed_meanwhile(self):
        def fields(**defaults):
            listed = [(name, object, field(default=value)) for name, value in defaults.items()]
            return dataclasses.make_dataclass("Grows", listed, bases=(blazen.BlazenState,))

        def run(ctx):
            ctx.set("state", fields(old=1, kept=2)())
            now = fields(kept=0, new=3)
            got = ctx.get("state")
            self.assertEqual(got, now(kept=2, new=3))
            ctx.set("state", got)
            self.assertEqual(sorted(ctx.state), ["state.__blazen_meta__", "state.kept", "state.new"])

        in_step(run)

    def test_mistakes_in_a_class_are_named(self):
        class Plain(blazen.BlazenState):
            pass

        @dataclass
        class Odd(blazen.BlazenState):
            name: str = ""

            class Meta:
                transient = {"nmae"}

        def step(ctx):
            with self.assertRaisesRegex(TypeError, "Plain .* dataclass"):
                ctx.set("state", Plain())
            with self.assertRaisesRegex(TypeError, "Odd.Meta names 'nmae'"):
                ctx.set("state", Odd())
            ctx.state["state.__blazen_meta__"] = {"class": "nowhere:Nothing", "fields": [], "stored_by": {}}
            with self.assertRaisesRegex(blazen.BlazenError, "nowhere:Nothing") as caught:
                ctx.get("state")
            return caught.exception.status

        self.assertEqual(in_step(step), blazen.Status.NOT_FOUND)


class FieldStoreTest(unittest.TestCase):
    def test_a_store_that_lacks_a_half_cannot_be_made(self):
        class Half(blazen.FieldStore):
            def save(self, key, value):
                pass

        with self.assertRaisesRegex(TypeError, "load"):
            Half()

    def setUp(self):
        folder.__init__()

    def test_a_field_is_kept_elsewhere_and_saved_again_only_when_it_has_changed(self):
        def step(ctx):
            model = Model("m", b"\1")
            for _ in range(2):
                ctx.set("model", model)
            self.assertNotIn("model.weights", ctx.state)
            self.assertEqual(ctx.get("model"), Model("m", b"\1"))
            model.weights = b"\2"
            ctx.set("model", model)
            self.assertEqual(ctx.get("model"), Model("m", b"\2"))
            return f"{ctx.run_id}/model.weights"

        key = in_step(step)
        self.assertEqual(folder.done, [(done, key) for done in ("save", "load", "save", "load")])

    def test_two_functions_are_a_field_store(self):
        kept = {}

        @dataclass
        class Called(blazen.BlazenState):
            weights: object = None

            class Meta:
                store_by = {"weights": blazen.CallbackFieldStore(save_fn=kept.__setitem__, load_fn=kept.__getitem__)}

        def step(ctx):
            lock = threading.Lock()
            ctx.set("model", Called(lock))
            return ctx.get("model").weights is lock

        self.assertTrue(in_step(step))

    def test_a_store_that_fails_fails_the_set_and_nothing_is_written(self):
        @dataclass
        class Failing(blazen.BlazenState):
            name: str = ""
            weights: bytes = b""

            class Meta:
                store_by = {"weights": blazen.CallbackFieldStore(save_fn=lambda key, value: 1 // 0, load_fn=None)}

        def step(ctx):
            with self.assertRaises(ZeroDivisionError):
                ctx.set("model", Failing("m", b"\1"))
            return len(ctx.state)

        self.assertEqual(in_step(step), 0)


def travelling(here):
    """Two steps with the same object between them, of which this process has one."""
    workflow = blazen.Workflow("travelling")

    def pack(ctx, event):
        ctx.set("state", Pipeline(":memory:", 3, b"\0\xff", Profile("Ada"), ["a"], db=object()))
        ctx.session["gone"] = 1
        return blazen.Event("Packed")

    def unpack(ctx, event):
        state = ctx.get("state")
        state.count += state.db.execute("SELECT 4").fetchone()[0]
        ctx.set("state", state)
        return blazen.StopEvent([state.count, state.raw.hex(), state.profile.name, ctx.state["state.count"]])

    for body, accepts in ((pack, blazen.START_EVENT), (unpack, "Packed")):
        if body.__name__ == here:
            workflow.step(accepts=accepts)(body)
        else:
            workflow.elsewhere(body.__name__, accepts=accepts)
    return workflow


def finish(path):
    with blazen.Runtime(mode="pump") as runtime:
        run = runtime.resume(travelling(here="unpack"), Path(path).read_bytes())
        run.start()
        print(*run.result(TIMEOUT_S))


class SnapshotTest(unittest.TestCase):
    def test_another_process_has_the_object_again(self):
        import test_typed_state  # classes of this module, and not of __main__

        with blazen.Runtime(mode="pump") as runtime, tempfile.TemporaryDirectory() as folder_path:
            run = runtime.run(test_typed_state.travelling(here="pack"))
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.ELSEWHERE)
            path = Path(folder_path) / "snapshot"
            path.write_bytes(run.snapshot())
            script = f"import test_typed_state; test_typed_state.finish({str(path)!r})"
            self.assertEqual(run_python("-c", script), "7 00ff Ada 7\n")


if __name__ == "__main__":
    unittest.main()
