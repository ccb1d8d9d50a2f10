"""The relay, process 4 of 4: analyses what is left, and finishes.

relay_finish.py SNAPSHOT_IN RESULT_OUT SNAPSHOT_OUT
"""

import sys
from pathlib import Path

import blazen
import relay_workflow
from relay_steps import Desk, compose, finish, register, survey, title


def main(source, result_path, target):
    with blazen.Runtime(threads=2) as runtime, Desk() as desk:
        bodies = {"survey": survey, "analyse": desk.analyse, "finish": finish}
        bodies.update(title=title, register=register, compose=compose)
        run = runtime.resume(relay_workflow.build(bodies), Path(source).read_bytes())
        run.start()
        result = run.result()
        Path(result_path).write_bytes(run.stored_result().data)
        Path(target).write_bytes(run.snapshot())
    print(f"[4/4 Python] parts analysed: the other {desk.done} of {result['parts']}, and finished\n")
    print(result["digest"])


if __name__ == "__main__":
    main(*sys.argv[1:])
