#!/usr/bin/env python3
"""Imports the header with the tools that bindings are made with, and runs what comes out against the built library.

    tests/header/imports.py [NAME...]    cgo, bindgen, cffi, ctypesgen, zig, luajit, installed (default: all)
    tests/header/imports.py --self-test  checks that each import fails where its tools are missing

Everything that is built or cached lies in build/imports. Nothing is ever skipped: a tool that is missing is a failure.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import laws

ROOT = laws.ROOT
HERE = ROOT / "tests/header/imports"
WORK = ROOT / "build/imports"
LIBRARY = ROOT / "build/release/libblazen.so"
VERSION = "0.2.0"
# What each import prints of the constants: that they are there, with their values.
CONSTANTS = " -1 1024 2147483647 512 blazen::StopEvent"
LIMIT_S = 420


class Failure(Exception):
    pass


def run(command, cwd=WORK, **variables):
    """The output of a command; a Failure with its end where it cannot run, fails or takes too long."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(LIBRARY.parent), **variables}
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT_S,
                              check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(command)}: no end after {LIMIT_S} s") from None
    except OSError as error:
        raise Failure(f"{command[0]} cannot run: {error.strerror}; run: tools/setup test") from None
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: status {done.returncode}\n{(done.stdout + done.stderr)[-4000:].strip()}")
    return done.stdout


def need(*tools):
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        raise Failure(f"not installed: {', '.join(missing)}; run: tools/setup test")


def need_module(name):
    if importlib.util.find_spec(name) is None:
        raise Failure(f"not installed: {name}, for {sys.executable}; run: tools/setup test")


def expect(output, expected):
    if output.strip() != expected:
        raise Failure(f"printed '{output.strip()}', not '{expected}'")


# ---- the imports ----


def cgo():
    """A Go program with an exported callback as the step."""
    need("go", "gcc")
    run(["go", "build", "-o", WORK / "cgo", "."], cwd=HERE / "cgo", CGO_ENABLED="1", GOPROXY="off", GOTOOLCHAIN="local",
        GOCACHE=str(WORK / "go-cache"), GOFLAGS="-mod=mod", CGO_CFLAGS=f"-I{ROOT}/include",
        CGO_LDFLAGS=f"-L{LIBRARY.parent} -lblazen")
    expect(run([WORK / "cgo"]), VERSION + ' {"hello":"go"} dropped 1' + CONSTANTS)


def libclang_folder():
    """Where the libclang of clang-19 is: beside its own headers, three folders up."""
    need("clang-19")
    return Path(run(["clang-19", "-print-resource-dir"]).strip()).parents[1]


def bindgen():
    """A Rust program whose declarations are made by the bindgen crate."""
    need("cargo", "rustc")
    # Built from a copy, so that the lock file, with what cargo has resolved, is kept in build. It takes crates that
    # suit the oldest Rust that the crate names.
    crate, target = WORK / "bindgen", WORK / "cargo"
    shutil.copytree(HERE / "bindgen", crate, dirs_exist_ok=True)
    run(["cargo", "build", "--quiet"], cwd=crate, CARGO_TARGET_DIR=str(target),
        CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS="fallback",
        LIBCLANG_PATH=str(libclang_folder()), BLAZEN_INCLUDE=str(ROOT / "include"),
        BLAZEN_LIBRARY_DIR=str(LIBRARY.parent))
    expect(run([target / "debug/blazen-header-import"]), VERSION + ' {"hello":"rust"}' + CONSTANTS)


def bare_header():
    need("gcc")
    bare = WORK / "blazen_bare.h"
    bare.write_text(laws.bare_text(laws.HEADER.read_text(encoding="utf-8")), encoding="utf-8")
    return bare


def cffi():
    """Python's cffi without a compiler: the bare header and the library."""
    expect(run([sys.executable, HERE / "cffi_import.py", bare_header(), LIBRARY]),
           VERSION + ' {"hello":"cffi"} dropped 1' + CONSTANTS)


def ctypesgen():
    """Python declarations made by ctypesgen."""
    need("gcc")
    output = WORK / "blazen_ctypes.py"
    output.unlink(missing_ok=True)
    run([Path(sys.executable).parent / "ctypesgen", "-l", "blazen", "--runtime-libdir", LIBRARY.parent,
         "-o", output, ROOT / "include/blazen/blazen.h"])
    expect(run([sys.executable, HERE / "ctypesgen_import.py", WORK]), VERSION + ' {"hello":"ctypesgen"}' + CONSTANTS)


def zig():
    """A Zig program whose declarations are made by translate-c; the compiler is a Python package."""
    need_module("ziglang")
    tool = [sys.executable, "-m", "ziglang"]
    caches = {"ZIG_LOCAL_CACHE_DIR": str(WORK / "zig-cache"), "ZIG_GLOBAL_CACHE_DIR": str(WORK / "zig-cache")}
    declared = WORK / "blazen.zig"
    declared.write_text(run([*tool, "translate-c", "-lc", ROOT / "include/blazen/blazen.h"], **caches), encoding="utf-8")
    run([*tool, "build-exe", "--dep", "blazen", f"-Mroot={HERE / 'zig/main.zig'}", f"-Mblazen={declared}", "-lc",
         f"-L{LIBRARY.parent}", "-lblazen", f"-femit-bin={WORK / 'zig'}"], **caches)
    expect(run([WORK / "zig"]), VERSION + ' {"hello":"zig"} dropped 1' + CONSTANTS)


def luajit():
    """LuaJIT's ffi: the bare header and the library."""
    need("luajit")
    expect(run(["luajit", HERE / "luajit_import.lua", bare_header(), LIBRARY]),
           VERSION + ' {"hello":"luajit"} dropped 1' + CONSTANTS)


def installed():
    """A consumer in C of what is installed: through pkg-config and through the CMake package, shared and static."""
    need("cmake", "ninja", "gcc", "pkg-config")
    prefix, source, expected = WORK / "prefix", HERE / "installed", VERSION + ' {"hello":"c"}' + CONSTANTS
    shutil.rmtree(prefix, ignore_errors=True)
    run(["cmake", "--install", LIBRARY.parent, "--prefix", prefix])
    folder = next(prefix.rglob("blazen.pc")).parent
    for link in ([], ["--static"]):
        flags = run(["pkg-config", "--cflags", "--libs", *link, "blazen"], PKG_CONFIG_PATH=str(folder)).split()
        if link:
            flags = [str(folder.parent / "libblazen.a") if flag == "-lblazen" else flag for flag in flags]
        run(["gcc", "-std=c99", source / "consumer.c", "-o", WORK / "consumer", *flags])
        expect(run([WORK / "consumer"], LD_LIBRARY_PATH=str(folder.parent)), expected)
    run(["cmake", "-G", "Ninja", "-S", source, "-B", WORK / "installed", f"-DCMAKE_PREFIX_PATH={prefix}"])
    run(["ninja", "-C", WORK / "installed"])
    for name in ("consumer_shared", "consumer_static"):
        expect(run([WORK / "installed" / name], LD_LIBRARY_PATH=""), expected)


IMPORTS = {function.__name__: function for function in (cgo, bindgen, cffi, ctypesgen, zig, luajit, installed)}


def fault(name):
    """Why an import fails; None where it works."""
    try:
        IMPORTS[name]()
    except Failure as failure:
        return str(failure)
    return None


def self_test():
    """With nothing on PATH, and no module, each import has to fail and to say so."""
    path, failed = os.environ["PATH"], []
    sys.modules["ziglang"] = None  # as where it is not installed
    with tempfile.TemporaryDirectory() as empty:
        os.environ["PATH"] = empty
        for name in IMPORTS:
            why = fault(name)
            if not why or "not installed" not in why:
                failed.append(f"{name}: does not fail without its tools: {why}")
    os.environ["PATH"] = path
    print("\n".join(failed) if failed else f"self-test: {len(IMPORTS)} imports fail without their tools\ncases: {len(IMPORTS)}")
    return not failed


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(0 if self_test() else 1)
    unknown = set(sys.argv[1:]) - IMPORTS.keys()
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(IMPORTS)}")
    if not LIBRARY.exists():
        sys.exit(f"{LIBRARY} is missing: build it with tools/test --only release")
    bad = 0
    for name in sys.argv[1:] or IMPORTS:
        begun = time.monotonic()
        why = fault(name)
        print(f"{name}: {'ok' if why is None else 'FAILED'} in {time.monotonic() - begun:.1f} s")
        if why is not None:
            print(why)
            bad += 1
        else:
            print("cases: 1")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
