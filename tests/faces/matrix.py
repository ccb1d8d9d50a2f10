"""Every language's snapshots go on in every other one: the workflow `travel` of bindings-examples/travel, for each pair of hosts
(A, B). A begins and asks, B goes on and asks again, A ends. All results have to be what was put in.

    LIBBLAZEN_PREFIX=/where/it/is/installed python3 tests/faces/matrix.py --python venv/bin/python

The C program is built here, into --build, and the Rust one, into CARGO_TARGET_DIR (build/rust). The packages of Python (--python: an interpreter that has it) and
JavaScript have to be there already; that of WebAssembly is left out where it is not. A host that is missing is a failure, unless
--without says so.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "bindings-examples"
TRAVEL = EXAMPLES / "travel"
LEG_SECONDS = 60
SAID_LINES = 3

PLAIN = {
    "b": {"bytes": "00ff"},
    "n": [{"float": "nan"}, {"float": "-0"}, {"int": str(1 << 70)}, {"int": str(-(1 << 70))}, {"float": "inf"}, 1.5],
    "t": "ü",
}
EXPECTED = {
    "state": {
        "json": {
            "name": 'Żółć 🜁 \u0000\n"\\',
            "nested": {"": [1, 2.5, -1e-7, True, None, {}], "__proto__": {"a": []}, "type": "x"},
            "big": [9007199254740993, 18446744073709551615, -9223372036854775808],
        },
        "bytes": {"bytes": "00017f80ff"},
        "plain": PLAIN,
        "date": {"date": 1795654923},
        "text": {"utf16": "d8000078"},
        "own": "1 zwei",
    },
    "carried": {"bytes": {"bytes": "00017f80ff"}, "plain": PLAIN, "own": "1 zwei"},
    "parts": [[1, 1, "01ff"], [2, 2, "02ff"], [3, 1, "03ff"]],
    "answers": ["eins", "zwei"],
}


# With one of these, something is in the session: what the end finds there. With HARD_ERROR there is no snapshot.
WARN_DROP, HARD_ERROR = "warn_drop", "hard_error"
SEATS = {"pickle_or_error": "12 A", "pickle_or_serialize": "12 A", WARN_DROP: None}


class Missing(Exception):
    """A host is not built; the message says what is not there."""


class Failed(Exception):
    """A leg of a journey went wrong; `said` is all that the host said of it."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


def canonical(result: object) -> str:
    """Tells 1 from true, which Python's == does not."""
    return json.dumps(result, sort_keys=True)


def built(command: list[str | pathlib.Path], **options) -> None:
    try:
        made = subprocess.run(command, capture_output=True, text=True, **options)
    except OSError as failure:
        raise Missing(f"{command[0]}: {failure.strerror}") from failure
    if made.returncode != 0:
        raise Missing(f"{' '.join(map(str, command))} has failed:\n{made.stderr}")


def prefix() -> pathlib.Path:
    folder = os.environ.get("LIBBLAZEN_PREFIX")
    if folder is None:
        raise Missing("LIBBLAZEN_PREFIX does not say where libblazen is installed")
    return pathlib.Path(folder)


def c_host(options: argparse.Namespace) -> list[str]:
    program = options.build / "travel"
    folder = prefix()
    built(
        [os.environ.get("CC", "cc"), "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{folder / 'include'}"]
        + [TRAVEL / "travel.c", f"-L{folder / 'lib'}", "-lblazen", f"-Wl,-rpath,{folder / 'lib'}", "-o", program]
    )
    return [str(program)]


def python_host(options: argparse.Namespace) -> list[str]:
    try:
        built([options.python, "-c", "import blazen; blazen.RunState"])
    except Missing as failure:
        raise Missing(f"{options.python} has no package blazen (--python): {failure}") from failure
    return [options.python, str(TRAVEL / "travel.py")]


def javascript_host(package: str, *files: str) -> list[str]:
    for file in files:
        if not list((EXAMPLES / "javascript" / package).glob(file)):
            raise Missing(f"bindings-examples/javascript/{package} has no {file}: its README says how it is built")
    return ["node", str(TRAVEL / "travel.mjs"), package]


def node_host(_: argparse.Namespace) -> list[str]:
    return javascript_host("node", "prebuilt/*/blazen.node", "dist/node/src/index.js")


def wasm_host(_: argparse.Namespace) -> list[str]:
    return javascript_host("wasm", "dist/engine.wasm", "dist/wasm/src/node.js")


def rust_host(options: argparse.Namespace) -> list[str]:
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "build" / "rust"))
    command = ["cargo", "build", "--quiet", "--locked", "-j1", "-p", "libblazen", "--example", "travel"]
    built(command, cwd=EXAMPLES / "rust", env=os.environ | {"CARGO_TARGET_DIR": target, "LIBBLAZEN_PREFIX": str(prefix())})
    return [str(pathlib.Path(target, "debug", "examples", "travel"))]


HOSTS = {"c": c_host, "python": python_host, "node": node_host, "wasm": wasm_host, "rust": rust_host}


def environment(policy: str | None) -> dict[str, str]:
    """The policy is said to the hosts; None: theirs, with nothing in the session."""
    others = {name: value for name, value in os.environ.items() if name != "TRAVEL_POLICY"}
    return others if policy is None else others | {"TRAVEL_POLICY": policy}


def leg(policy: str | None, what: str, command: list[str], *arguments: str | pathlib.Path) -> str:
    """Runs a host to its end: it has to be silent but for its result, and for what the policy drops."""
    ran_with = {"capture_output": True, "text": True, "encoding": "utf-8", "env": environment(policy)}
    try:
        ran = subprocess.run([*command, *arguments], timeout=LEG_SECONDS, **ran_with)
    except subprocess.TimeoutExpired as failure:
        raise Failed(f"{what}: it did not end in {LEG_SECONDS} s") from failure
    if ran.returncode != 0 or (ran.stderr and policy != WARN_DROP):
        said = [line for line in ran.stderr.splitlines() if line.strip()]
        raise Failed(" | ".join([f"{what}: exit code {ran.returncode}", *said[-SAID_LINES:]]), ran.stderr)
    return ran.stdout


def journey(hosts: dict[str, list[str]], policy: str | None, first: str, second: str) -> str | None:
    """A begins, B goes on, A ends. What went wrong; None: nothing."""
    expected = EXPECTED | {"seat": SEATS.get(policy)}
    with tempfile.TemporaryDirectory() as folder:
        one, two = pathlib.Path(folder, "one"), pathlib.Path(folder, "two")
        try:
            leg(policy, f"{first} begins", hosts[first], "begin", one)
            leg(policy, f"{second} goes on", hosts[second], "go-on", one, "eins", two)
            result = json.loads(leg(policy, f"{first} ends", hosts[first], "go-on", two, "zwei"))
        except (Failed, ValueError) as failure:
            return str(failure)
    return None if canonical(result) == canonical(expected) else f"the result is another: {canonical(result)}"


def refusal(hosts: dict[str, list[str]], first: str) -> str | None:
    """With something in the session, HARD_ERROR gives no snapshot, and names it."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "none")
        try:
            leg(HARD_ERROR, f"{first} begins", hosts[first], "begin", file)
        except Failed as failure:
            return None if "seat" in failure.said and not file.exists() else str(failure)
    return "there is a snapshot"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the package of bindings-examples/python")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "travel", help="where programs are built")
    parser.add_argument("--without", action="append", default=[], choices=HOSTS, help="leaves a host out")
    parser.add_argument("-j", type=int, default=2, help="journeys at once")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.build.mkdir(parents=True, exist_ok=True)

    hosts: dict[str, list[str]] = {}
    failures = 0
    for name, make in HOSTS.items():
        if name in options.without:
            print(f"{name}: left out, as asked")
            continue
        try:
            hosts[name] = make(options)
        except Missing as missing:
            is_needed = name != "wasm"
            failures += is_needed
            print(f"{name}: {'MISSING' if is_needed else 'left out'}: {missing}")

    cases = {
        f"{first} -> {second} -> {first}{f' with {policy}' if policy else ''}": (journey, policy, first, second)
        for policy in (None, *SEATS)
        for first in hosts
        for second in hosts
    }
    cases |= {f"{first} with {HARD_ERROR} gives no snapshot": (refusal, first) for first in hosts}
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        run = pool.map(lambda case: case[0](hosts, *case[1:]), cases.values())
        for name, wrong in zip(cases, run, strict=True):
            failures += wrong is not None
            print(f"{name}: {'ok' if wrong is None else 'FAILED: ' + wrong}", flush=True)
    print(f"cases: {len(cases)}")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
