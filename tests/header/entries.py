#!/usr/bin/env python3
"""Makes the exported functions of a build that checks invariants: each notes its name and its tag `calls`.

    tests/header/entries.py FOLDER    writes other_names.hpp and entries.cpp there, from the header

With other_names.hpp, the functions of capi/ are compiled under other names; entries.cpp has those of the header. A file
that would be the same is left alone, so that nothing is compiled again.
"""

import sys
from pathlib import Path

import laws

CODES = {"none": "none", "drop": "drop", "host": "any"}


def other_name(name):
    return f"inside_{name}"


def entry(item):
    tags, why = laws.parse_tags(item.comment)
    if why or tags.calls not in CODES:
        raise SystemExit(f"line {item.line}: {item.name}: {why or 'calls is none of none, drop, host'}")
    named = [name for _, name in laws.parameters(item)]
    return "\n".join([
        f'extern "C" decltype({item.name}) {other_name(item.name)};',
        item.text.removeprefix("BLAZEN_API ").removesuffix(";") + " {",
        f'  const blazen::Entry entry("{item.name}", blazen::HostCode::{CODES[tags.calls]});',
        f"  return {other_name(item.name)}({', '.join(named)});",
        "}", ""])


def write(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    functions = [item for item in laws.items(laws.HEADER.read_text(encoding="utf-8")) if item.kind == "function"]
    names = [f"#define {item.name} {other_name(item.name)}" for item in functions]
    write(folder / "other_names.hpp", "\n".join([*names, ""]))
    write(folder / "entries.cpp", "\n".join(['#include "base/host_code.hpp"', '#include "blazen/blazen.h"', "",
                                             *map(entry, functions)]))


if __name__ == "__main__":
    main()
