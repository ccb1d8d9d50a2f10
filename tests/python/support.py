"""What the tests of the Python binding share: the path to the binding, and workflows that several of them run."""

import contextlib
import gc
import os
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINDING = ROOT / "bindings-examples" / "python"
RELAY = ROOT / "bindings-examples" / "relay"
sys.path[:0] = [str(BINDING), str(RELAY)]

import blazen  # noqa: E402

TIMEOUT_S = 30
HAS_THREADS = blazen.has_feature("threads")
needs_threads = unittest.skipUnless(HAS_THREADS, "the library has no threads")


def result_of(workflow, input=None, **runtime):
    """The result of one run on a runtime of its own."""
    with blazen.Runtime(**runtime) as opened:
        return opened.run(workflow, input).result(TIMEOUT_S)


def one_step(function):
    """A workflow of one step: the start event goes in, what the function returns is the result."""
    workflow = blazen.Workflow("one step")

    @workflow.step(accepts=blazen.START_EVENT)
    def only(ctx, event):
        return blazen.StopEvent(function(ctx, event))

    return workflow


def environment():
    """That of an interpreter which finds what the tests find."""
    return dict(os.environ, PYTHONPATH=os.pathsep.join([str(BINDING), str(RELAY), str(Path(__file__).parent)]))


def run_python(*arguments):
    """Runs a script in an interpreter of its own; answers what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment(), capture_output=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"it ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


@contextlib.contextmanager
def nothing_left(test):
    """What the library holds when the block ends is what it held before."""
    gc.collect()
    before = blazen.live_count()
    yield
    gc.collect()
    test.assertEqual(blazen.live_count(), before)
