"""The relay, process 2 of 4: surveys the texts, asks its question, and is stopped in the middle of analysing them.

relay_analyse.py SNAPSHOT_IN SNAPSHOT_OUT
"""

import asyncio
import sys
from pathlib import Path

import relay_workflow
from relay_steps import Desk, HeldLine, survey, title

SHARE = 0.4  # of the parts: then comes the interruption
POLL_S = 0.01


def doing(run):
    """What the run in the stage of the analysis is doing."""
    return run.describe()["children"][0]["run"]


def is_in_the_middle(run, desk, line):
    """The vocabulary is made, the human is asked, the line rings, and the desk has stopped."""
    now = doing(run)
    under_way = {each["step"] for each in now["queued"] + now["in_flight"]}
    if "survey" in under_way or not now["questions"] or line.parts is None:
        return False
    return desk.has_stopped(line.parts, relay_workflow.ANALYSE_CONCURRENCY)


async def run_to_the_middle(run, desk, line):
    ended = asyncio.ensure_future(run.result())
    while not is_in_the_middle(run, desk, line):
        await asyncio.wait([ended], timeout=POLL_S)
        if ended.done():
            raise ended.exception() or RuntimeError("the run has ended before it was interrupted")
    ended.cancel()
    line.hang_up()
    while not doing(run)["retrying"]:  # the step fails: from here on it is in back-off
        await asyncio.sleep(0)


async def analyse(snapshot, desk, line):
    """Goes on from a snapshot to the middle, and gives the next one."""
    bodies = {"survey": survey, "analyse": desk.analyse, "title": title, "register": line.register}
    run = relay_workflow.build(bodies).resume(snapshot)
    await run_to_the_middle(run, desk, line)
    snapshot = run.snapshot()
    run.abort()
    return snapshot


def main(source, target):
    desk, line = Desk(SHARE), HeldLine()
    snapshot = asyncio.run(analyse(Path(source).read_bytes(), desk, line))
    Path(target).write_bytes(snapshot)
    inside = snapshot.info["inside"]
    print(
        f"[2/4 Python] parts analysed: {desk.done} of {line.parts}, then stopped; "
        f"snapshot of {len(snapshot) / 1024:.1f} KiB with {inside['queued']} events queued, "
        f"{inside['in_flight']} steps in flight, {inside['questions']} open question, "
        f"{inside['retrying']} step in back-off"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
