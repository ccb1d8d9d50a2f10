"""The relay, process 2 of 4: surveys the texts, and is stopped in the middle of analysing them.

relay_analyse.py SNAPSHOT_IN SNAPSHOT_OUT
"""

import sys
from pathlib import Path

import blazen
import relay_workflow
from relay_steps import Desk, survey

SHARE = 0.4  # of the parts: then comes the interruption
POLL_S = 0.02


def run_to_the_middle(run, desk):
    """Until the desk has stopped, or the run has: parked at once, where there is no part to analyse."""
    run.start()
    while not desk.has_stopped(relay_workflow.ANALYSE_CONCURRENCY):
        try:
            state = run.wait(POLL_S)
        except blazen.BlazenTimeout:
            continue
        if state != blazen.RunState.ELSEWHERE:
            run.result()  # raises what went wrong
        return


def main(source, target):
    with blazen.Runtime(mode="pump") as runtime, Desk(SHARE) as desk:
        workflow = relay_workflow.build({"survey": survey, "analyse": desk.analyse})
        run = runtime.resume(workflow, Path(source).read_bytes())
        run_to_the_middle(run, desk)
        snapshot = run.snapshot()
        run.close()
    Path(target).write_bytes(snapshot)
    info = blazen.snapshot_info(snapshot)
    print(
        f"[2/4 Python] parts analysed: {desk.done} of {desk.parts}, then stopped; "
        f"snapshot of {len(snapshot) / 1024:.1f} KiB with {info['queued']} events queued, "
        f"{info['in_flight']} steps in flight"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
