"""Measures this package beside another one of the import name `blazen`, in turns, and prints a table.

    python bench/compare.py OTHER_PYTHON [ROUNDS]

OTHER_PYTHON is the interpreter of an environment that has the other package. What that needs in its environment, such as
LD_PRELOAD, is given as OTHER_LD_PRELOAD. Exits with 1 where ours is slower on a line.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys

MEASURE = pathlib.Path(__file__).with_name("measure.py")


def measured(python: str, environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [python, str(MEASURE)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    other = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    others = dict(os.environ)
    if "OTHER_LD_PRELOAD" in others:
        others["LD_PRELOAD"] = others.pop("OTHER_LD_PRELOAD")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(measured(sys.executable, dict(os.environ)))
        theirs.append(measured(other, others))
    print(f"{'':36}{'ours':>12}{'other':>12}{'ratio':>8}   (nanoseconds, medians of {rounds})")
    slower = 0
    for line in ours[0]:
        mine, its = (statistics.median(each[line] for each in all_) for all_ in (ours, theirs))
        slower += mine > its and "bare" not in line
        print(f"{line:36}{mine:12.0f}{its:12.0f}{mine / its:8.2f}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
