"""The same job in one process and without interruption: this host lends the steps in C to the engine by their address.

relay_whole.py LIBRARY_OF_C_STEPS ANSWER RESULT_OUT SNAPSHOT_OUT FILE...
"""

import ctypes
import os
import sys
from pathlib import Path

import blazen
import relay_workflow
from relay_steps import Desk, compose, finish, register, survey, title


def main(library_path, answer, result_path, target, *files):
    library = ctypes.CDLL(library_path)
    native = {name: getattr(library, "relay_" + name) for name in ("read", "check", "carry", "shelve")}
    with blazen.Runtime(threads=2) as runtime, Desk() as desk:
        bodies = {"survey": survey, "analyse": desk.analyse, "finish": finish}
        bodies.update(title=title, register=register, compose=compose)
        paths = b"".join(os.fsencode(file) + b"\0" for file in files)
        run = runtime.run(relay_workflow.build(bodies, native), paths, input_handler=lambda request: answer)
        Path(result_path).write_bytes(run.stored_result().data)
        Path(target).write_bytes(run.snapshot())


if __name__ == "__main__":
    main(*sys.argv[1:])
