"""The relay, process 4 of 4: analyses what is left, and finishes.

relay_finish.py SNAPSHOT_IN RESULT_OUT SNAPSHOT_OUT
"""

import asyncio
import sys
from pathlib import Path

import relay_workflow
from relay_steps import Desk, compose, finish, register, survey, title, write_end


async def go_on(snapshot, desk, result_path, target):
    """Goes on from a snapshot to the end, and gives the result."""
    bodies = {"survey": survey, "analyse": desk.analyse, "title": title, "register": register}
    bodies.update(finish=finish, compose=compose)
    run = relay_workflow.build(bodies).resume(snapshot)
    return write_end(await run.result(), run, result_path, target)


def main(source, result_path, target):
    desk = Desk()
    result = asyncio.run(go_on(Path(source).read_bytes(), desk, result_path, target))
    print(f"[4/4 Python] parts analysed: the other {desk.done} of {result['parts']}, and finished\n")
    print(result["digest"])


if __name__ == "__main__":
    main(*sys.argv[1:])
