"""The relay, process 2 of 4: surveys the texts, asks its question, and is stopped in the middle of analysing them.

relay_analyse.py SNAPSHOT_IN SNAPSHOT_OUT
"""

import sys
from pathlib import Path

import blazen
import relay_workflow
from relay_steps import Desk, HeldLine, survey, title

SHARE = 0.4  # of the parts: then comes the interruption
POLL_S = 0.02


def run_to_the_middle(run, desk, line):
    """Until the desk has stopped (at once, where there is no part to analyse), and the line was busy."""
    run.start()
    while line.parts is None or (line.parts > 0 and not desk.has_stopped(relay_workflow.ANALYSE_CONCURRENCY)):
        try:
            run.wait(POLL_S)
        except blazen.BlazenTimeout:
            continue
        run.result()  # raises what went wrong
    line.hang_up()  # the step fails: from here on it is in back-off


def main(source, target):
    line = HeldLine()
    with blazen.Runtime(mode="pump") as runtime, Desk(SHARE) as desk:
        bodies = {"survey": survey, "analyse": desk.analyse, "title": title, "register": line.register}
        run = runtime.resume(relay_workflow.build(bodies), Path(source).read_bytes())
        run_to_the_middle(run, desk, line)
        doing = run.describe()["children"][0]["run"]  # in the stage of the analysis
        snapshot = run.snapshot()
        run.close()
    Path(target).write_bytes(snapshot)
    inside = blazen.snapshot_info(snapshot)["inside"]
    print(
        f"[2/4 Python] parts analysed: {desk.done} of {desk.parts}, then stopped; "
        f"snapshot of {len(snapshot) / 1024:.1f} KiB with {inside['queued']} events queued, "
        f"{inside['in_flight']} steps in flight, {len(doing['questions'])} open question, "
        f"{len(doing['retrying'])} step in back-off"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
