#!/usr/bin/env python3
"""Checks that the folders of the engine include one another only downwards.

    tests/layers.py               checks src/ and capi/ of this tree
    tests/layers.py --self-test   plants a violation of every rule and checks that it is found

The rules are the two tables below. Everything under src/ and capi/ that is C or C++ is read.
"""

import re
import sys
import tempfile
from pathlib import Path

# What each folder may include beside itself. A folder stands below all that include it.
MAY_INCLUDE = {
    "base": [],
    "value": ["base"],
    "codec": ["base", "value"],
    "port": ["base", "value"],
    "run": ["base", "value", "codec"],
    "snapshot": ["base", "value", "codec", "run"],
    "history": ["base", "value", "codec", "run", "snapshot"],
    "engine": ["base", "value", "codec", "port", "run", "snapshot"],
    "pipeline": ["base", "value", "codec", "port", "run", "snapshot", "history", "engine"],
    "exec": ["base", "value", "port"],
    "store": ["base", "value", "codec", "port", "run", "snapshot", "history", "engine", "pipeline"],
}
MAY_INCLUDE["capi"] = list(MAY_INCLUDE)

# The pure folder decides without a clock, chance, thread or file: these headers may not reach it, not even through
# headers of other folders.
PURE = "run"
IMPURE_HEADERS = {"chrono", "condition_variable", "fstream", "future", "iostream", "mutex", "random", "semaphore",
                  "shared_mutex", "stop_token", "thread", "time.h", "ctime", "pthread.h", "unistd.h"}

# Threads are made in one place, which blocks signals and sets their stacks and names; two files ask the system of
# forks, and of the number of processors.
THREAD_HEADERS = {"thread", "future", "stop_token", "pthread.h"}
HAVE_THREADS = {"src/exec/thread.hpp", "src/exec/thread.cpp", "src/base/fork.cpp", "src/exec/threads.cpp"}

PUBLIC_HEADER = "blazen/blazen.h"
SUFFIXES = {".c", ".h", ".cpp", ".hpp", ".cc", ".inc"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def includes(path):
    """The (quote, name, line number) of every #include in a file."""
    text = path.read_text(encoding="utf-8")
    return [(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in INCLUDE.finditer(text)]


def sources(root):
    """Every source with its folder: (path, "run")."""
    for top in ("src", "capi"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SUFFIXES:
                yield path, path.relative_to(root / "src").parts[0] if top == "src" else "capi"


def direct_fault(folder, quote, name):
    """Why a file of `folder` may not include `name`; None where it may."""
    if name == PUBLIC_HEADER:
        return None if folder == "capi" else "only capi knows the C header"
    target = name.split("/")[0]
    if quote == "<":
        return None
    if "/" not in name:
        return f'is to be written from the root of the sources: "{folder}/{name}"'
    if target == folder:
        return None
    if target not in MAY_INCLUDE:
        return f"{target} is not a folder of the engine"
    if target not in MAY_INCLUDE[folder]:
        return f"{folder} may include only: {', '.join([folder, *MAY_INCLUDE[folder]])}"
    return None


def impure_path(root, path, seen):
    """The chain of includes from `path` to a header that the pure folder must not see; None where there is none."""
    seen.add(path)
    for quote, name, _ in includes(path):
        if quote == "<" and name in IMPURE_HEADERS:
            return [f"<{name}>"]
        target = root / "src" / name
        if quote == '"' and target.is_file() and target not in seen:
            chain = impure_path(root, target, seen)
            if chain:
                return [name, *chain]
    return None


def faults(root):
    """Every violation in a tree, as text."""
    found = []
    for path, folder in sources(root):
        where = path.relative_to(root)
        if folder not in MAY_INCLUDE:
            found.append(f"{where}: {folder} is not a folder of the engine; give it its place in tests/layers.py")
            continue
        for quote, name, line in includes(path):
            why = direct_fault(folder, quote, name)
            if not why and quote == "<" and name in THREAD_HEADERS and folder != PURE and str(where) not in HAVE_THREADS:
                why = "threads are made by exec/thread alone"
            if why:
                found.append(f"{where}:{line}: includes {name}: {why}")
        if folder == PURE:
            chain = impure_path(root, path, set())
            if chain:
                found.append(f"{where}: reaches {' -> '.join(chain)}: {PURE} is pure")
    return found


# ---- self-test ----

# A planted file, what it includes, and a part of the fault that has to be found.
PLANTS = [
    ("src/base/a.hpp", '"value/v.hpp"', "base may include only: base"),
    ("src/value/a.hpp", '"codec/c.hpp"', "value may include only"),
    ("src/codec/a.hpp", '"run/r.hpp"', "codec may include only"),
    ("src/port/a.hpp", '"codec/c.hpp"', "port may include only: port, base, value"),
    ("src/run/a.hpp", '"snapshot/c.hpp"', "run may include only: run, base, value, codec"),
    ("src/run/a.hpp", '"port/p.hpp"', "run may include only: run, base, value"),
    *((f"src/run/a.cpp", f"<{name}>", f"reaches <{name}>: run is pure") for name in sorted(IMPURE_HEADERS)),
    ("src/run/a.cpp", '"base/clock.hpp"', "reaches base/clock.hpp -> <chrono>: run is pure"),
    ("src/snapshot/a.hpp", '"port/p.hpp"', "snapshot may include only: snapshot, base, value, codec, run"),
    ("src/history/a.hpp", '"engine/e.hpp"', "history may include only"),
    ("src/engine/a.hpp", '"exec/x.hpp"', "engine may include only"),
    ("src/engine/a.hpp", '"store/s.hpp"', "engine may include only"),
    ("src/pipeline/a.hpp", '"store/s.hpp"', "pipeline may include only"),
    ("src/exec/a.hpp", '"store/s.hpp"', "exec may include only"),
    ("src/exec/a.hpp", '"engine/e.hpp"', "exec may include only: exec, base, value, port"),
    ("src/store/sqlite/a.hpp", '"exec/x.hpp"', "store may include only"),
    ("src/engine/a.hpp", '"capi/c.hpp"', "engine may include only"),
    ("src/engine/a.cpp", "<blazen/blazen.h>", "only capi knows the C header"),
    ("src/engine/a.cpp", '"blazen/blazen.h"', "only capi knows the C header"),
    ("src/engine/a.cpp", '"e.hpp"', "is to be written from the root"),
    ("src/engine/a.cpp", '"tests/t.hpp"', "tests is not a folder of the engine"),
    ("src/exec/a.cpp", "<thread>", "threads are made by exec/thread alone"),
    ("capi/a.cpp", "<pthread.h>", "threads are made by exec/thread alone"),
    ("src/misc/a.cpp", '"base/b.hpp"', "misc is not a folder of the engine"),
    ("capi/a.cpp", '"tests/t.hpp"', "tests is not a folder of the engine"),
]

# Files that break no rule.
GOOD = [
    ("src/base/clock.hpp", "<chrono>"),
    ("src/value/v.hpp", '"base/b.hpp"'),
    ("src/run/r.hpp", "<atomic>"),
    ("src/run/r.cpp", '"value/v.hpp"'),
    ("src/engine/e.cpp", '"base/clock.hpp"'),
    ("src/engine/f.cpp", '"snapshot/s.hpp"'),
    ("src/exec/x.cpp", '"port/p.hpp"'),
    ("src/store/sqlite/s.cpp", '"store/sqlite/s.hpp"'),
    ("capi/run.cpp", '"capi/guard.hpp"'),
    ("capi/exec.cpp", '"exec/x.hpp"'),
    ("capi/api.cpp", '"blazen/blazen.h"'),
]


def plant(root, files):
    for name, include in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// A planted file.\n#include {include}\n", encoding="utf-8")


def self_test():
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder), GOOD)
        failed += [f"a good tree was refused: {fault}" for fault in faults(Path(folder))]
    for name, include, expected in PLANTS:
        with tempfile.TemporaryDirectory() as folder:
            plant(Path(folder), [*GOOD, (name, include)])
            found = faults(Path(folder))
            if len(found) != 1 or expected not in found[0]:
                failed.append(f"{name} including {include}: expected one fault with '{expected}', found {found}")
    return failed, f"self-test: {len(PLANTS)} planted violations found\ncases: {len(PLANTS) + 1}"


def main():
    root = Path(__file__).resolve().parent.parent
    if sys.argv[1:] == ["--self-test"]:
        failed, message = self_test()
    elif not sys.argv[1:]:
        failed, count = faults(root), len(list(sources(root)))
        message = f"layers: {count} files include only what stands below them\ncases: 1"
        if count == 0:
            failed = ["no sources found"]
    else:
        sys.exit("usage: tests/layers.py [--self-test]")
    print("\n".join(failed) if failed else message)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
