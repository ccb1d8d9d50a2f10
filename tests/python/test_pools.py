"""Pools: permits that the runs of one runtime share, with functions and with coroutines."""

import asyncio
import threading
import unittest

from support import TIMEOUT_S, blazen, needs_threads

RUNS, PARTS = 4, 5


class AtOnce:
    """How many are inside, and how many were at most."""

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = self.most = self.entered = 0

    def __enter__(self):
        with self._lock:
            self._inside += 1
            self.entered += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_):
        with self._lock:
            self._inside -= 1


def pooled(work, pool="model"):
    """Fans out into PARTS, each of which is `work` with a permit of the pool; the result is how many were joined."""
    workflow = blazen.Workflow("pooled")

    @workflow.step(accepts=blazen.START_EVENT)
    def start(ctx, event):
        return [blazen.Event("Part", part) for part in range(PARTS)]

    workflow.step(name="work", accepts="Part", pool=pool)(work)

    @workflow.step(accepts="Done", joins="start")
    def join(ctx, event):
        return blazen.StopEvent(len(ctx.events))

    return workflow


class PoolsTest(unittest.TestCase):
    def all_runs(self, runtime, workflow):
        runs = [runtime.run(workflow) for _ in range(RUNS)]
        self.assertEqual([run.result(TIMEOUT_S) for run in runs], [PARTS] * RUNS)

    @needs_threads
    def test_as_many_bodies_at_once_as_permits_in_all_runs(self):
        inside, both = AtOnce(), threading.Barrier(2)

        def work(ctx, event):
            with inside:
                both.wait(TIMEOUT_S)  # two are there at once, or nobody goes on
                return blazen.Event("Done")

        with blazen.Runtime(threads=4) as runtime:
            runtime.set_pool("model", 2)
            self.all_runs(runtime, pooled(work))
        self.assertEqual((inside.most, inside.entered), (2, RUNS * PARTS))

    def test_coroutines_wait_for_one_another(self):
        inside = AtOnce()

        async def work(ctx, event):
            with inside:
                await asyncio.sleep(0.001)
                return blazen.Event("Done")

        async def main():
            async with blazen.aio.Runtime() as runtime:
                runtime.set_pool("model", 1)
                workflow = pooled(work)
                results = [runtime.run(workflow).result() for _ in range(RUNS)]
                return await asyncio.wait_for(asyncio.gather(*results), TIMEOUT_S)

        self.assertEqual(asyncio.run(main()), [PARTS] * RUNS)
        self.assertEqual((inside.most, inside.entered), (1, RUNS * PARTS))

    def test_more_permits_take_effect_at_once(self):
        inside, held = AtOnce(), []

        def work(ctx, event):
            with inside:
                held.append(ctx.defer())

        with blazen.Runtime("pump") as runtime:
            runtime.set_pool("model", 1)
            run = runtime.run(pooled(work))
            runtime.poll()
            self.assertEqual(len(held), 1)
            runtime.set_pool("model", 3)
            runtime.poll()
            self.assertEqual(len(held), 3)
            for invocation in held:  # grows meanwhile
                invocation.complete(blazen.Event("Done"))
                runtime.poll()
            self.assertEqual(run.result(TIMEOUT_S), PARTS)

    def test_a_pool_that_nobody_has_set_is_named(self):
        with blazen.Runtime("pump") as runtime, self.assertRaises(blazen.BlazenError) as raised:
            runtime.run(pooled(print, pool="gpu"))
        self.assertEqual(raised.exception.status, blazen.Status.NOT_FOUND)
        self.assertIn("'work' uses pool 'gpu'", str(raised.exception))

    def test_bad_arguments_are_named(self):
        with blazen.Runtime("pump") as runtime:
            for name, permits, error, words in [
                ("model", 0, ValueError, "permits is from 1"),
                ("model", 2**32, ValueError, "permits is from 1"),
                ("model", "2", TypeError, "permits is an int"),
                (7, 1, TypeError, "name is a str"),
            ]:
                with self.subTest(name=name, permits=permits), self.assertRaisesRegex(error, words):
                    runtime.set_pool(name, permits)
        with self.assertRaisesRegex(TypeError, "pool is a str"):
            pooled(print, pool=7)


if __name__ == "__main__":
    unittest.main()
