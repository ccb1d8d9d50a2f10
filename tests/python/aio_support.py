"""What the tests of blazen.aio share: workflows of one async step, and a loop on which nothing may be said.

Every test runs with the loop's debug mode, and a warning, an exception that nobody saw, or an object that the library
still holds afterwards is a failure.
"""

import asyncio
import gc
import logging
import unittest
import warnings

from support import TIMEOUT_S, blazen, nothing_left


def workflow_of(function, **options):
    """A workflow of one async step; what it returns is the result."""
    workflow = blazen.Workflow("one async step", **options.pop("workflow", {}))

    @workflow.step(accepts=blazen.START_EVENT, **options)
    async def only(ctx, event):
        return blazen.StopEvent(await function(ctx, event))

    return workflow


async def never(*_):
    await asyncio.get_running_loop().create_future()


async def under_way(run):
    """Waits until a step of the run is in flight, and all that this brings about has happened."""
    while not run.describe()["in_flight"]:
        await asyncio.sleep(0)
    await some_turns()


async def some_turns():
    """More turns of the loop than anything takes that waits for nothing else."""
    for _ in range(20):
        await asyncio.sleep(0)


class QuietTest(unittest.TestCase):
    def run_quietly(self, test, clock=None):
        """Runs test(runtime) on a loop; nothing may be said, and nothing left."""
        said = []

        class Handler(logging.Handler):
            def emit(self, record):
                said.append(record.getMessage())

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, trouble: said.append(trouble))
            loop.slow_callback_duration = TIMEOUT_S  # how slow the machine is now is not tested
            async with blazen.aio.Runtime(clock=clock) as runtime:
                await asyncio.wait_for(test(runtime), TIMEOUT_S)
            self.assertEqual(asyncio.all_tasks(), {asyncio.current_task()})

        handler = Handler(logging.WARNING)
        logging.getLogger("asyncio").addHandler(handler)
        try:
            with nothing_left(self), warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                asyncio.run(main(), debug=True)
                gc.collect()
        finally:
            logging.getLogger("asyncio").removeHandler(handler)
        self.assertEqual(said + [str(warning.message) for warning in warned], [])
