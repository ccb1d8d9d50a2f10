"""The binding and the header agree: every function is declared as it is there, and used; so are structs and enums."""

import ast
import ctypes
import re
import sys
import unittest

from support import BINDING, ROOT, blazen
from blazen import _c, joins, runtime, workflow

sys.path.insert(0, str(ROOT / "tests" / "header"))
import laws  # noqa: E402

ITEMS = {item.name.removeprefix("blazen_"): item for item in laws.items(laws.HEADER.read_text(encoding="utf-8"))}
FUNCTIONS = {name: item for name, item in ITEMS.items() if item.kind == "function"}

# Functions that the binding does without, and why.
UNUSED = {
    r"\w+_init": "ctypes zeroes a struct, and _Options sets its size",
    r"(?!(value|run)_retain)\w+_retain": "one Python object owns each handle, and Python counts that object",
    "value_live|context_emit|run_subscribe|run_wait|run_on_done|run_close": "short for a general form",
    "context_emit_json|context_set_json|context_set_bytes": "short for two calls; tiers.py chooses the form",
    "workflow_run": "short for create, start, wait and result; and Ctrl-C would not get through",
    "value_adopt": "what Python packs is copied once, and needs nobody to drop it",
    "run_snapshot_to|snapshot_adopt": "a snapshot's bytes are one object of Python's",
    "invocation_context": "the Invocation has the Context that its body had",
    "status_name": "Status has the names",
    "workflow_name": "the Workflow has its name",
    "event_name": "the binding has the names of the events as texts of its own",
    "event_(type|value|id|source|correlation)": "event_read answers all of them",
    "error_read|value_object_of|invocation_finish|stream_take|workflow_builder_add_step_with|run_wants_input": "one crossing"
    " in place of several, off the way of every step",
    "context_event": "a body is given its event",
    "run_snapshot_to|snapshot_adopt": "bytes of Python are one block, and are copied into it once",
    "stream_cancel_ready|runtime_begin_close": "this example keeps to what its tests show",
}

SCALARS = {
    "void": "void",
    "int32_t": "i4",
    "uint32_t": "u4",
    "int64_t": "i8",
    "uint64_t": "u8",
    "size_t": "u8",
    "double": "d8",
}


def used_functions():
    """The functions that the binding's code names: c.x, lib.x or library.blazen_x."""
    found = set()
    for path in (BINDING / "blazen").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id in ("c", "lib") or node.attr.startswith("blazen_"):
                    found.add(node.attr.removeprefix("blazen_"))
    return found


def kind_of(text):
    """A type of C as it is passed: "pointer", "i4", "u8" and so on; of a struct in a struct, its name."""
    name = text.replace("const ", "").strip().removeprefix("blazen_")
    if "*" in name or (name in ITEMS and ITEMS[name].kind == "callback"):
        return "pointer"
    if name in ITEMS and ITEMS[name].kind == "struct":
        return name
    return kind_of(ITEMS[name].text.split()[1]) if name in ITEMS else SCALARS[name]


def struct_name(kind):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def kind_of_ctypes(kind):
    if kind is not None and issubclass(kind, ctypes.Structure):
        return struct_name(kind)
    code = "void" if kind is None else getattr(kind, "_type_", None)
    if code == "void":
        return code
    if not isinstance(code, str) or code in "zP":
        return "pointer"
    return ("d" if code == "d" else "u" if code.isupper() else "i") + str(ctypes.sizeof(kind))


def fields(name):
    """The (name, kind) of each field of a struct of the header."""
    lines = [line.strip() for line in re.search(r"\{(.*)\}", ITEMS[name].text)[1].split(";")]
    return [(re.search(r"\w+$", line)[0], kind_of(re.sub(r"\w+$", "", line))) for line in lines if line]


def values(first, prefix):
    """The enum that begins with this name, as {name without its prefix, in lower case: number}."""
    found = re.findall(r"(\w+) = (\d+)", ITEMS[first].text)
    return {re.sub(f"^{prefix}", "", name).lower(): int(number) for name, number in found}


def of(kind):
    return {member.name.lower(): member.value for member in kind}


class HeaderTest(unittest.TestCase):
    def test_every_function_is_declared_and_used_or_named_with_a_reason(self):
        declared, used = _c.FALLIBLE.keys() | _c.INFALLIBLE.keys(), used_functions()
        for name in FUNCTIONS:
            reasons = [reason for names, reason in UNUSED.items() if re.fullmatch(names, name)]
            with self.subTest(name):
                self.assertEqual((name in declared, name in used), (not reasons, not reasons), reasons)
        self.assertEqual(declared - FUNCTIONS.keys(), set())

    def test_every_declaration_is_that_of_the_header(self):
        for name in _c.FALLIBLE.keys() | _c.INFALLIBLE.keys():
            function, item = getattr(_c.c, name), FUNCTIONS[name]
            with self.subTest(name):
                self.assertEqual(kind_of_ctypes(function.restype), kind_of(laws.returned(item)))
                takes = [kind_of(kind) for kind, _ in laws.parameters(item)]
                self.assertEqual([kind_of_ctypes(kind) for kind in function.argtypes], takes)

    def test_every_struct_is_that_of_the_header(self):
        for name, kind in vars(_c).items():
            if isinstance(kind, type) and issubclass(kind, ctypes.Structure) and hasattr(kind, "_fields_"):
                with self.subTest(name):
                    ours = [(field.rstrip("_"), kind_of_ctypes(its_kind)) for field, its_kind in kind._fields_]
                    self.assertEqual(ours, fields(struct_name(kind)))

    def test_every_enum_is_that_of_the_header(self):
        for ours, first, prefix in (
            (of(blazen.Status), "BLAZEN_OK", "BLAZEN_(ERROR_)?"),
            (of(blazen.RunState), "BLAZEN_RUN_NONE", "BLAZEN_RUN_"),
            (of(blazen.Tag), "BLAZEN_TAG_NONE", "BLAZEN_TAG_"),
            (of(blazen.LogLevel), "BLAZEN_LOG_NONE", "BLAZEN_LOG_"),
            (of(blazen.JoinReason), "BLAZEN_JOIN_REASON_NONE", "BLAZEN_JOIN_REASON_"),
            (joins._MODES, "BLAZEN_JOIN_ALL", "BLAZEN_JOIN_"),
            (joins._AT_DEADLINE, "BLAZEN_JOIN_DEADLINE_GIVE", "BLAZEN_JOIN_DEADLINE_"),
            (joins._EMPTY, "BLAZEN_JOIN_EMPTY_INVOKE", "BLAZEN_JOIN_EMPTY_"),
            (joins._CORRELATIONS, "BLAZEN_JOIN_CORRELATION_NONE", "BLAZEN_JOIN_CORRELATION_"),
            (workflow._LIMITS, "BLAZEN_LIMIT_QUEUED_EVENTS", "BLAZEN_LIMIT_"),
            (workflow._UNHANDLED, "BLAZEN_UNHANDLED_FAIL", "BLAZEN_UNHANDLED_"),
            (workflow._ABANDONED, "BLAZEN_ABANDONED_KEEPS_PERMIT", "BLAZEN_ABANDONED_"),
            (workflow._DRAW, "BLAZEN_DRAW_MERMAID", "BLAZEN_DRAW_"),
            (workflow._IDLE, "BLAZEN_IDLE_FAIL", "BLAZEN_IDLE_"),
            (workflow._SESSION_POLICIES, "BLAZEN_SESSION_PICKLE_OR_ERROR", "BLAZEN_SESSION_"),
            (workflow._SESSION_ON_PAUSE, "BLAZEN_SESSION_KEEP", "BLAZEN_SESSION_"),
            (runtime._MODES, "BLAZEN_MODE_THREADS", "BLAZEN_MODE_"),
            (runtime._UNKNOWN_LABELS, "BLAZEN_UNKNOWN_LABEL_ERROR", "BLAZEN_UNKNOWN_LABEL_"),
        ):
            with self.subTest(first):
                self.assertEqual(ours, values(first, prefix))


if __name__ == "__main__":
    unittest.main()
