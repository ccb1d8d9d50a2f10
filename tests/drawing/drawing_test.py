"""Who draws reads our drawings: Graphviz's dot, and Mermaid itself, show every step and every edge, each under its name.

Names are chosen to mean something to their grammars. Which edges there are, tests/semantics says; here, what of the text
arrives in the picture. What is not installed is skipped, and it is said how to install it; BLAZEN_NODE is the folder whose
node_modules has Mermaid, if not build/node.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "header"))
import laws  # noqa: E402

NODE = Path(os.environ.get("BLAZEN_NODE", ROOT / "build" / "node"))
HAS_DOT = shutil.which("dot") is not None
HAS_MERMAID = shutil.which("node") is not None and all(
    (NODE / "node_modules" / name).is_dir() for name in ("mermaid", "jsdom"))
NO_DOT = "NOT CHECKED with Graphviz, which is not installed; run: apt-get install graphviz"
NO_MERMAID = f"NOT CHECKED with Mermaid, which is not in {NODE}; run: npm install --prefix build/node mermaid@11 jsdom"

ffi = FFI()
ffi.cdef(laws.bare_text(laws.HEADER.read_text(encoding="utf-8")))
lib = ffi.dlopen(os.environ["BLAZEN_LIBRARY"])

START, STOP = "blazen::StartEvent", "blazen::StopEvent"

# What means something to one of the grammars, in front of, behind and between letters.
ODD = ["\"", "\\", "\\N", "\\\"", "#", "#35;", ";", ":", "style:x#1;", "classDef a:#1;", "`code`", "*bold*", "__init__", "~~~", "%%",
       "%%{init: {}}%%", "$$x$$", "fa:fa-car", "<b>x</b>", "<br/>", "<script>x</script>", "a < b", "&amp;", "&#38;", "&", "[[x]]", "{{x}}", "(x)", "|x|", "-->",
       "x-->y", "end", "1. one", "- item", "    code", "two  spaces", "www.example.com", "a@b.de", "\n", "a\nb", "a\r\nb", "\t", "\x7f",
       "\x01", "\u00e9", "\u4e16\u754c", "\U0001f600", "\u2028", "\u00b6\u00df", "\ufb02\u00b0", "\ufb02\u00b0\u00b035\u00b6\u00df", "---",
       "--- a", "click", "class", "subgraph", "graph", "node", "o", "x", "\"]", "\"];", "\\l\\r", "\\", "trailing\\", "!", "'", "/", "?",
       "step with words", "fetch-page_2", "blazen::odd", "a::b", "=", "+", ",", "."]


def text_of(call, *arguments):
    length = ffi.new("size_t *")
    data = call(*arguments, length)
    return ffi.buffer(data, length[0])[:].decode()


def text(content):
    """The two arguments that stand for a text."""
    data = content.encode()
    return data, len(data)


def made(kind, call, *arguments):
    output, error = ffi.new(f"{kind} **"), ffi.new("blazen_error **")
    if call(*arguments, output, error) != lib.BLAZEN_OK:
        raise AssertionError(text_of(lib.blazen_error_message, error[0]))
    return output[0]


def do(call, *arguments):
    error = ffi.new("blazen_error **")
    if call(*arguments, error) != lib.BLAZEN_OK:
        raise AssertionError(text_of(lib.blazen_error_message, error[0]))


def built(name, steps, joins=()):
    """A workflow of steps elsewhere: (name, what it accepts, what it emits)."""
    builder = made("blazen_workflow_builder", lib.blazen_workflow_builder_create, *text(name))
    for step, accepts, emits in steps:
        do(lib.blazen_workflow_builder_add_elsewhere, builder, *text(step), *text(accepts))
        for emitted in emits:
            do(lib.blazen_workflow_builder_step_emits, builder, *text(step), *text(emitted))
    for join, opener in joins:
        options = ffi.new("blazen_join_options *")
        lib.blazen_join_options_init(options, ffi.sizeof("blazen_join_options"))
        options.of = kept = ffi.new("char[]", opener.encode())
        options.of_length = len(kept) - 1
        do(lib.blazen_workflow_builder_step_joins, builder, *text(join), options)
    return made("blazen_workflow", lib.blazen_workflow_builder_build, builder)


def drawn(workflow, format):
    value = made("blazen_value", lib.blazen_workflow_draw, workflow, format)
    return text_of(lib.blazen_value_data, value)


def chain(odd):
    """Every odd text as the name of a workflow, of a step, and of a type."""
    return built(odd, [("first " + odd, START, ["type " + odd]), (odd, "type " + odd, [STOP])])


def kinds():
    """One of each kind of node and line."""
    return built(
        "kinds", [("start", START, ["Part", "blazen::InputRequestEvent"]), ("work", "Part", ["Done", "Again"]),
                  ("again", "Again", []), ("join", "Done", [STOP]), ("mend", "blazen::StepFailedEvent", ["Done"])],
        [("join", "start")])


def pictured(name):
    """What a reader sees of it."""
    return re.sub("[\x00-\x1f\x7f]", lambda found: chr(0x2421 if found[0] == "\x7f" else 0x2400 + ord(found[0])), name)


def seen(label):
    """Blanks are blanks: pictures have their own; and a word joiner cannot be seen."""
    return re.sub(r"[ \u00a0\u2028\n]+", " ", label.replace("\u2060", "")).strip(" ")


class Drawer:
    """What a picture shows: titles, labels of nodes by id, edges as (from, to, label)."""

    def check(self, format):
        workflows = [chain(odd) for odd in ODD] + [kinds()]
        pictures = self.look([drawn(workflow, format) for workflow in workflows])
        for odd, picture in zip(ODD, pictures):
            with self.subTest(odd):
                self.assertNotIn("error", picture)
                first, name, kind = (seen(pictured(part)) for part in ("first " + odd, odd, "type " + odd))
                self.assertEqual(seen(picture["title"]), seen(self.title_of(odd)))
                self.assertEqual({id: seen(label) for id, label in picture["nodes"].items()},
                                 {"n0": first, "n1": name, "begin": "start", "stop": "end"})
                self.assertEqual({(source, target, seen(label)) for source, target, label in picture["edges"]},
                                 {("begin", "n0", START), ("n0", "n1", kind), ("n1", "stop", STOP)})
        self.assertEqual({(source, target, seen(label)) for source, target, label in pictures[-1]["edges"]},
                         {("begin", "n0", START), ("n0", "n1", "Part"), ("n0", "human", "blazen::InputRequestEvent"),
                          ("n0", "n3", "scope"), ("n1", "n3", "Done"), ("n1", "n2", "Again"), ("n2", "unknown", ""),
                          ("n3", "stop", STOP), ("n4", "n3", "Done"), ("failed", "n4", "blazen::StepFailedEvent"),
                          ("human", "nobody", "blazen::InputResponseEvent")})


@unittest.skipUnless(HAS_DOT, NO_DOT)
class DotTest(Drawer, unittest.TestCase):
    def test_dot_shows_it(self):
        self.check(lib.BLAZEN_DRAW_DOT)

    title_of = staticmethod(pictured)

    def look(self, texts):
        return [self.look_at(text) for text in texts]

    def look_at(self, drawing):
        done = subprocess.run(["dot", "-Tsvg"], input=drawing.encode(), capture_output=True, timeout=60)
        if done.returncode != 0 or done.stderr:
            return {"error": done.stderr.decode()}
        space = "{http://www.w3.org/2000/svg}"
        picture = {"title": "", "nodes": {}, "edges": []}
        whole = ElementTree.fromstring(done.stdout.decode()).find(f"{space}g")
        picture["title"] = "".join(part.text for part in whole.findall(f"{space}text"))
        for part in whole.findall(f"{space}g"):
            name = part.find(f"{space}title").text
            label = "".join(line.text for line in part.findall(f"{space}text"))
            if part.get("class") == "node":
                picture["nodes"][name] = label
            else:
                picture["edges"].append((*name.split("->"), label))
        return picture


@unittest.skipUnless(HAS_MERMAID, NO_MERMAID)
class MermaidTest(Drawer, unittest.TestCase):
    def test_mermaid_shows_it(self):
        self.check(lib.BLAZEN_DRAW_MERMAID)

    title_of = staticmethod(lambda name: pictured(name).replace("<", "\uff1c"))

    def look(self, texts):
        done = subprocess.run(["node", HERE / "mermaid_reads.mjs", NODE], input=json.dumps(texts), capture_output=True, text=True,
                              timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


if __name__ == "__main__":
    for is_there, complaint in ((HAS_DOT, NO_DOT), (HAS_MERMAID, NO_MERMAID)):
        if not is_there:
            print(complaint, file=sys.stderr)
    unittest.main()
