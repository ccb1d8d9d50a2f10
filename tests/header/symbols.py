#!/usr/bin/env python3
"""Checks that the shared library exports the functions of the header, under their version, and nothing else.

    tests/header/symbols.py LIBRARY      checks a library
    tests/header/symbols.py --self-test  builds libraries with a planted fault and checks that each is found
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import laws

VERSION_NODE = "BLAZEN_0.1"
SONAME = "libblazen.so.2"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])}...: {done.stderr.strip()}")
    return done.stdout


def exported(library):
    """What a library exports: {name: (type letter, version)}, without the version nodes themselves."""
    found = {}
    for line in run("nm", "-D", "--defined-only", "--with-symbol-versions", str(library)).splitlines():
        letter, symbol = line.split()[-2:]
        name, _, version = symbol.partition("@")
        if letter != "A":
            found[name] = (letter, version.lstrip("@"))
    return found


def faults(library, declared):
    """Every difference between a library and the functions that the header declares."""
    symbols = exported(library)
    found = [f"{name} is declared, but not exported" for name in sorted(declared - symbols.keys())]
    found += [f"{name} is exported, but not declared" for name in sorted(symbols.keys() - declared)]
    for name in sorted(symbols.keys() & declared):
        letter, version = symbols[name]
        if letter != "T":
            found.append(f"{name} is no function (nm: {letter})")
        if version != VERSION_NODE:
            found.append(f"{name} has the version '{version}', not {VERSION_NODE}")
    if f"[{SONAME}]" not in run("readelf", "-d", str(library)):
        found.append(f"the SONAME is not {SONAME}")
    return found


# ---- self-test ----

MAP = Path(laws.ROOT / "capi/blazen.map")
GOOD = "int blazen_one(void) { return 1; }\nint blazen_two(void) { return 2; }\n"
# What is planted: the source, the options of the link, and a part of the fault.
PLANTS = {
    "a missing function": (GOOD.replace("blazen_two", "two"), [], "blazen_two is declared, but not exported"),
    "a function too many": (GOOD + "int blazen_three(void) { return 3; }", [], "blazen_three is exported, but not"),
    "a variable": (GOOD.replace("int blazen_two(void) { return 2; }", "int blazen_two = 2;"), [], "is no function"),
    "no version script": (GOOD + "int helper(void) { return 0; }", ["no map"], "helper is exported, but not declared"),
    "no version": (GOOD, ["no map"], "has the version ''"),
    "another name": (GOOD, ["-Wl,-soname,libblazen.so.7"], "the SONAME is not"),
}


def planted(folder, source, options):
    path, library = Path(folder) / "a.c", Path(folder) / "liba.so"
    path.write_text(source, encoding="utf-8")
    link = [f"-Wl,-soname,{SONAME}", f"-Wl,--version-script={MAP}"]
    if "no map" in options:
        link = link[:1]
    run("gcc", "-shared", "-fPIC", str(path), "-o", str(library), *link, *(o for o in options if o != "no map"))
    return library


def self_test():
    failed, declared = [], {"blazen_one", "blazen_two"}
    with tempfile.TemporaryDirectory() as folder:
        failed += [f"a good library is refused: {fault}" for fault in faults(planted(folder, GOOD, []), declared)]
        for what, (source, options, expected) in PLANTS.items():
            found = faults(planted(folder, source, options), declared)
            if not any(expected in fault for fault in found):
                failed.append(f"{what}: expected '{expected}', found {found}")
    return failed, f"self-test: {len(PLANTS)} planted faults found\ncases: {len(PLANTS) + 1}"


def main():
    for tool in ("nm", "readelf", "gcc"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed; run: tools/setup test")
    if sys.argv[1:] == ["--self-test"]:
        failed, message = self_test()
    elif len(sys.argv) == 2:
        declared = set(laws.functions(laws.HEADER.read_text(encoding="utf-8")))
        failed = faults(sys.argv[1], declared)
        message = f"symbols: the library exports the {len(declared)} functions of the header, and nothing else\ncases: 1"
    else:
        sys.exit("usage: tests/header/symbols.py LIBRARY | --self-test")
    print("\n".join(failed) if failed else message)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
