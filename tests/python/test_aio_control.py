"""Runs on an event loop are ended and paused: cancellation in both directions, awaited control, and closing."""

import asyncio
import unittest
import weakref

from aio_support import QuietTest, never, some_turns, under_way, workflow_of
from support import blazen, one_step


class AioControlTest(QuietTest):
    # ---- cancellation ----

    def cancelled_body(self):
        """A body that never ends, and a list of what has happened to it."""
        happened = []

        async def body(ctx, event):
            happened.append("begun")
            try:
                await never()
            except asyncio.CancelledError:
                happened.append(ctx.is_cancelled)
                raise

        return body, happened

    def test_cancelling_who_awaits_aborts_the_run(self):
        body, happened = self.cancelled_body()

        async def test(runtime):
            run = runtime.run(workflow_of(body))
            awaiting = asyncio.ensure_future(run.result())
            while not happened:
                await asyncio.sleep(0)
            awaiting.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await awaiting
            self.assertEqual(await run.wait(), run.state)
            with self.assertRaises(blazen.BlazenError) as caught:
                await run
            self.assertEqual(caught.exception.status, blazen.Status.ABORTED)

        self.run_quietly(test)
        self.assertEqual(happened, ["begun", True])

    def test_cancelling_a_gather_aborts_all_of_it(self):
        body, happened = self.cancelled_body()

        async def test(runtime):
            workflow = workflow_of(body)
            runs = [runtime.run(workflow) for _ in range(5)]
            gathering = asyncio.gather(*runs)
            while len(happened) < 5:
                await asyncio.sleep(0)
            gathering.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await gathering
            await asyncio.gather(*(run.wait() for run in runs))
            self.assertEqual({run.state for run in runs}, {blazen.RunState.CANCELLED})

        self.run_quietly(test)
        self.assertEqual(happened, ["begun"] * 5 + [True] * 5)

    def test_a_step_that_cancels_itself_has_failed(self):
        async def body(ctx, event):
            raise asyncio.CancelledError

        async def test(runtime):
            with self.assertRaises(blazen.BlazenError) as caught:
                await runtime.run(workflow_of(body))
            self.assertEqual(caught.exception.status, blazen.Status.STEP_FAILED)
            self.assertIsInstance(caught.exception.__cause__, asyncio.CancelledError)

        self.run_quietly(test)

    def test_cancelling_a_look_does_not(self):
        async def test(runtime):
            door = asyncio.Event()

            async def body(ctx, event):
                await door.wait()
                return "done"

            run = runtime.run(workflow_of(body))
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(run.wait(), 0.001)
            door.set()
            self.assertEqual(await run, "done")

        self.run_quietly(test)

    def test_the_end_of_a_run_cancels_its_coroutines(self):
        for options, status in (
            ({"workflow": {"timeout": 60}}, blazen.Status.RUN_TIMEOUT),
            ({"timeout": 60}, blazen.Status.STEP_TIMEOUT),
        ):
            body, happened = self.cancelled_body()
            clock = blazen.Clock()

            async def test(runtime, body=body, options=options, status=status, clock=clock):
                run = runtime.run(workflow_of(body, **options))
                await under_way(run)
                clock.advance(60)
                runtime.poll()
                with self.assertRaises(blazen.BlazenError) as caught:
                    await run
                self.assertEqual(caught.exception.status, status)

            with self.subTest(status=status):
                self.run_quietly(test, clock)
                self.assertEqual(happened, ["begun", True])

    def test_an_attempt_that_takes_too_long_is_cancelled_and_tried_again(self):
        async def body(ctx, event):
            if ctx.attempt == 1:
                await never()
            return ctx.attempt

        clock = blazen.Clock()

        async def test(runtime):
            run = runtime.run(workflow_of(body, timeout=60, retries=blazen.Retry(2)))
            await under_way(run)
            clock.advance(60)
            runtime.poll()
            self.assertEqual(await run, 2)

        self.run_quietly(test, clock)

    def test_a_coroutine_that_never_began_is_cancelled_too(self):
        async def test(runtime):
            workflow = blazen.Workflow("race")

            @workflow.step(accepts=blazen.START_EVENT)
            async def first(ctx, event):
                await never()

            @workflow.step(accepts=blazen.START_EVENT)
            def second(ctx, event):
                return blazen.StopEvent("second")

            self.assertEqual(await runtime.run(workflow), "second")

        self.run_quietly(test)

    def test_closing_ends_everything(self):
        body, happened = self.cancelled_body()
        objects = []

        class Thing:
            pass

        async def holding(ctx, event):
            ctx.session["thing"] = thing = Thing()
            objects.append(weakref.ref(thing))
            await body(ctx, event)

        async def test(runtime):
            runs = [runtime.run(workflow_of(holding)) for _ in range(3)]
            while len(happened) < 3:
                await asyncio.sleep(0)
            await runtime.aclose()
            for run in runs:
                self.assertEqual(run.state, blazen.RunState.CANCELLED)

        self.run_quietly(test)
        self.assertEqual(happened, ["begun"] * 3 + [True] * 3)
        self.assertEqual([thing() for thing in objects], [None] * 3)

    # ---- control ----

    def test_pause_and_go_on(self):
        async def test(runtime):
            workflow = blazen.Workflow("pauses")

            @workflow.step(accepts=blazen.START_EVENT)
            async def begin(ctx, event):
                await door.wait()
                return blazen.Event("More")

            @workflow.step(accepts="More")
            async def end(ctx, event):
                return blazen.StopEvent("went on")

            for drain in (False, True):
                door = asyncio.Event()
                run = runtime.run(workflow)
                await under_way(run)
                pausing = asyncio.ensure_future(run.pause(drain=drain))
                await some_turns()
                self.assertEqual(pausing.done(), not drain)
                door.set()
                self.assertEqual(await pausing, blazen.RunState.PAUSED)
                run.resume_in_place()
                self.assertEqual(await run, "went on")
                with self.assertRaises(blazen.BlazenError) as caught:
                    run.pause()
                self.assertEqual(caught.exception.status, blazen.Status.CANCELLED)

        self.run_quietly(test)

    def test_a_pause_that_the_end_overtakes_says_so(self):
        async def test(runtime):
            run = runtime.run(workflow_of(never))
            await under_way(run)
            pausing = asyncio.ensure_future(run.pause(drain=True))
            await asyncio.sleep(0)
            run.abort()
            self.assertEqual(await pausing, blazen.RunState.CANCELLED)

        self.run_quietly(test)

    def test_an_awaited_abort_waits_until_the_coroutines_have_cleaned_up(self):
        for end in ("abort", "aclose"):
            happened = []

            async def body(ctx, event):
                happened.append("begun")
                try:
                    await never()
                finally:
                    await some_turns()
                    happened.append("clean")

            async def test(runtime):
                other = runtime.run(workflow_of(never))
                run = runtime.run(workflow_of(body))
                while not happened:
                    await asyncio.sleep(0)
                run.abort()  # telling it twice does not disturb its cleaning up
                await asyncio.sleep(0)
                await getattr(run, end)()
                await getattr(run, end)()
                self.assertEqual(happened, ["begun", "clean"])
                self.assertEqual(other.state, blazen.RunState.RUNNING)

            with self.subTest(end):
                self.run_quietly(test)

    def test_leaving_a_run_closes_it(self):
        body, happened = self.cancelled_body()

        async def test(runtime):
            async with runtime.run(workflow_of(body)) as run:
                while not happened:
                    await asyncio.sleep(0)
            self.assertEqual((run.state, happened), (blazen.RunState.CANCELLED, ["begun", True]))
            async with runtime.run(one_step(lambda ctx, event: 1)) as run:
                await run
            self.assertEqual(run.state, blazen.RunState.COMPLETED)

        self.run_quietly(test)

    def test_a_step_may_abort_its_own_run(self):
        runs, happened = [], []

        async def body(ctx, event):
            try:
                await runs[0].abort()
                await never()
            except asyncio.CancelledError:
                happened.append("cancelled")
                raise

        async def test(runtime):
            runs.append(runtime.create(workflow_of(body)))
            runs[0].start()
            with self.assertRaises(blazen.BlazenError) as caught:
                await runs[0]
            self.assertEqual(caught.exception.status, blazen.Status.ABORTED)
            await runs.pop().aclose()

        self.run_quietly(test)
        self.assertEqual(happened, ["cancelled"])

    def test_everything_that_waits_hears_of_the_closing(self):
        async def test(runtime):
            run = runtime.run(workflow_of(never))
            waits = [run.wait(), run.wait([blazen.RunState.PAUSED]), run.result(), run.stream().next()]
            waiting = [asyncio.ensure_future(wait) for wait in waits]
            await under_way(run)
            await runtime.aclose()
            ended, paused, result, item = await asyncio.gather(*waiting, return_exceptions=True)
            self.assertEqual((ended, paused), (blazen.RunState.CANCELLED,) * 2)
            self.assertEqual((result.status, item.type), (blazen.Status.CANCELLED, blazen.STREAM_END))
            await runtime.aclose()

        self.run_quietly(test)

    def test_closing_a_stream_ends_whoever_waits_for_it(self):
        async def test(runtime):
            run = runtime.run(workflow_of(never))
            async with run.stream() as stream:
                waiting = asyncio.ensure_future(stream.next())
                await asyncio.sleep(0)
            self.assertEqual((await waiting).type, blazen.STREAM_END)

        self.run_quietly(test)

    def test_a_wait_that_is_refused_is_refused_again(self):
        async def test(runtime):
            run = runtime.run(workflow_of(never))
            for _ in range(2):
                with self.assertRaises(blazen.BlazenError) as caught:
                    await run.wait([blazen.RunState.CREATED])
                self.assertEqual(caught.exception.status, blazen.Status.INVALID_ARGUMENT)

        self.run_quietly(test)

    def test_a_wait_is_for_what_comes_after_it(self):
        """The loop has not yet seen that the run asks when it is answered: the next wait is for the next question."""

        async def body(ctx, event):
            return [await ctx.ask("1", request_id="1"), await ctx.ask("2", request_id="2")]

        async def test(runtime):
            run = runtime.run(workflow_of(body))
            look = asyncio.ensure_future(run.wait([blazen.RunState.ASKING]))
            await asyncio.sleep(0)
            look.cancel()
            while not run.questions():
                await asyncio.sleep(0)
            run.respond("1", "one")
            await run.wait([blazen.RunState.ASKING])
            self.assertEqual([question["request_id"] for question in run.questions()], ["2"])
            run.respond("2", "two")
            self.assertEqual(await run, ["one", "two"])

        self.run_quietly(test)

    def test_many_cancelled_looks_leave_one(self):
        async def test(runtime):
            run = runtime.run(workflow_of(never))
            await under_way(run)
            before = blazen.live_count()
            for _ in range(50):
                look = asyncio.ensure_future(run.wait([blazen.RunState.PAUSED]))
                await asyncio.sleep(0)
                look.cancel()
            self.assertEqual(blazen.live_count(), before + 1)
            await run.pause()
            self.assertEqual(await run.wait([blazen.RunState.PAUSED]), blazen.RunState.PAUSED)
            self.assertEqual(blazen.live_count(), before)

        self.run_quietly(test)


if __name__ == "__main__":
    unittest.main()
