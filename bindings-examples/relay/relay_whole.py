"""The same job in one process and without interruption: the steps that C has in the relay are those of relay_stand_ins.py.

relay_whole.py ANSWER RESULT_OUT SNAPSHOT_OUT FILE...
"""

import asyncio
import os
import sys

import relay_stand_ins
import relay_workflow
from relay_steps import Desk, compose, finish, register, survey, title, write_end


async def run_whole(answer, result_path, target, files):
    bodies = {"survey": survey, "analyse": Desk().analyse, "title": title, "register": register}
    bodies.update(finish=finish, compose=compose)
    bodies.update((name, getattr(relay_stand_ins, name)) for name in ("read", "check", "carry", "shelve"))
    pipeline = relay_workflow.build(bodies, input_handler=lambda request: answer)
    run = pipeline.start(b"".join(os.fsencode(file) + b"\0" for file in files))
    write_end(await run.result(), run, result_path, target)


if __name__ == "__main__":
    answer, result_path, target, *files = sys.argv[1:]
    asyncio.run(run_whole(answer, result_path, target, files))
