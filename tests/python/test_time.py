"""Time-outs, delays, retries and back-off on a clock that the test sets: nothing here sleeps."""

import asyncio
import concurrent.futures
import select
import sys
import threading
import unittest

from support import TIMEOUT_S, blazen, needs_threads, nothing_left, one_step

HOUR_S = 3600


class Clocked:
    """A runtime in the mode "pump", and its clock."""

    def __init__(self):
        self.clock = blazen.Clock()
        self.runtime = blazen.Runtime(mode="pump", clock=self.clock)

    def __enter__(self):
        self.runtime.__enter__()
        return self

    def __exit__(self, *_):
        self.runtime.close()

    def run(self, workflow):
        run = self.runtime.run(workflow)
        self.runtime.poll()
        return run

    def advance(self, seconds):
        self.clock.advance(seconds)
        self.runtime.poll()


def failing(times, **options):
    """A workflow whose step fails so often, and says at what time each attempt began."""
    workflow, began = blazen.Workflow("fails", timeout=None), []

    @workflow.step(accepts=blazen.START_EVENT, **options)
    def work(ctx, event):
        began.append(ctx.attempt)
        if ctx.attempt <= times:
            raise ConnectionError
        return blazen.StopEvent(ctx.attempt)

    return workflow, began


def status_of(test, run):
    with test.assertRaises(blazen.BlazenError) as caught:
        run.result(TIMEOUT_S)
    return caught.exception.status


class TimeOutTest(unittest.TestCase):
    def test_a_run_ends_when_its_time_is_up_and_not_before(self):
        workflow = blazen.Workflow("for ever", idle="wait", timeout=10)
        workflow.step(name="only", accepts=blazen.START_EVENT)(lambda ctx, event: None)
        with Clocked() as clocked:
            run = clocked.run(workflow)
            clocked.advance(9.999)
            self.assertEqual(run.state, blazen.RunState.WAITING)
            clocked.advance(0.001)
            self.assertEqual(status_of(self, run), blazen.Status.RUN_TIMEOUT)

    def test_the_time_of_a_run_stands_still_while_it_is_paused_or_waits_for_a_human(self):
        workflow = blazen.Workflow("asks", timeout=10)
        workflow.step(name="only", accepts=blazen.START_EVENT)(lambda ctx, event: blazen.StopEvent(ctx.ask("?")))
        with Clocked() as clocked:
            run = clocked.run(workflow)
            clocked.advance(24 * HOUR_S)
            self.assertEqual(run.state, blazen.RunState.ASKING)
            self.assertEqual(run.questions()[0]["age_ms"], 24 * HOUR_S * 1000)
            run.pause()
            run.respond(run.questions()[0]["request_id"], "late")
            clocked.advance(24 * HOUR_S)
            self.assertEqual(run.state, blazen.RunState.PAUSED)
            run.resume_in_place()
            self.assertEqual(run.result(TIMEOUT_S), "late")

    def test_an_attempt_ends_when_its_time_is_up_and_not_before_and_is_told(self):
        workflow, held, told = blazen.Workflow("slow"), [], []
        workflow.step(name="slow", accepts=blazen.START_EVENT, timeout=5)(lambda ctx, event: held.append(ctx.defer()))
        with nothing_left(self), Clocked() as clocked:
            run = clocked.run(workflow)
            context = held[0].context
            context.on_cancel(lambda: told.append("in time"))
            clocked.advance(4.999)
            self.assertEqual((told, context.is_cancelled), ([], False))
            clocked.advance(0.001)
            self.assertEqual((told, context.is_cancelled), (["in time"], True))
            context.on_cancel(lambda: told.append("at once"))
            self.assertEqual(told, ["in time", "at once"])
            self.assertEqual(status_of(self, run), blazen.Status.STEP_TIMEOUT)
            held.clear()
            del run, clocked, context

    def test_a_descriptor_says_that_a_step_is_cancelled(self):
        workflow, held = blazen.Workflow("slow"), []
        workflow.step(name="slow", accepts=blazen.START_EVENT, timeout=5)(lambda ctx, event: held.append(ctx.defer()))
        with Clocked() as clocked:
            clocked.run(workflow)
            descriptor = held[0].context.cancel_descriptor()
            self.assertEqual(select.select([descriptor], [], [], 0)[0], [])
            clocked.advance(5)
            self.assertEqual(select.select([descriptor], [], [], 0)[0], [descriptor])
            held.clear()

    def test_the_last_attempt_that_took_too_long_is_told(self):
        workflow, held = blazen.Workflow("slow"), []
        slow = workflow.step(name="slow", accepts=blazen.START_EVENT, timeout=5, retries=blazen.Retry(2))
        slow(lambda ctx, event: held.append(ctx.defer()))
        with Clocked() as clocked:
            run = clocked.run(workflow)
            clocked.advance(5)
            self.assertEqual((len(held), run.state), (2, blazen.RunState.RUNNING))
            clocked.advance(5)
            with self.assertRaises(blazen.BlazenError) as caught:
                run.result(TIMEOUT_S)
            error = caught.exception
            self.assertEqual((error.status, error.step, error.attempt), (blazen.Status.STEP_TIMEOUT, "slow", 2))
            held.clear()


class DelayTest(unittest.TestCase):
    def alarm(self, *delays):
        workflow = blazen.Workflow("alarm", idle="wait")

        @workflow.step(accepts=blazen.START_EVENT)
        def set_alarms(ctx, event):
            ctx.state["rung"] = []
            for delay in delays:
                ctx.send_event(blazen.Event("Ring", delay), delay=delay)

        @workflow.step(accepts="Ring")
        def ring(ctx, event):
            ctx.state["rung"] = ctx.state["rung"] + [event.value]
            return blazen.StopEvent(ctx.state["rung"]) if len(ctx.state["rung"]) == len(delays) else None

        return workflow

    def test_events_come_in_the_order_of_their_moments(self):
        with Clocked() as clocked:
            run = clocked.run(self.alarm(30, 10, 20))
            self.assertEqual(clocked.runtime.next_timer(), 10)
            clocked.advance(9)
            self.assertEqual([delayed["due_in_ms"] for delayed in run.describe()["delayed"]], [1000, 11000, 21000])
            clocked.advance(HOUR_S / 100)
            self.assertEqual(run.result(TIMEOUT_S), [10, 20, 30])

    def test_a_wait_that_only_the_clock_could_end_ends_at_once(self):
        with Clocked() as clocked:
            run = clocked.run(self.alarm(10))
            with self.assertRaises(blazen.BlazenTimeout):
                run.result()

    def test_a_delay_stands_still_in_a_snapshot_unless_time_has_passed(self):
        for has_passed in (False, True):
            with Clocked() as clocked, self.subTest(time_has_passed=has_passed):
                snapshot = clocked.run(self.alarm(10)).snapshot()
                clocked.advance(9)
                run = clocked.runtime.resume(self.alarm(10), snapshot, time_has_passed=has_passed)
                run.start()
                clocked.advance(1)
                self.assertEqual(run.state == blazen.RunState.COMPLETED, has_passed)
                clocked.advance(9)
                self.assertEqual(run.result(TIMEOUT_S), [10])

    def test_an_event_from_outside_may_come_later_too(self):
        workflow = blazen.Workflow("waits", idle="wait")
        workflow.step(name="start", accepts=blazen.START_EVENT)(lambda ctx, event: None)
        workflow.step(name="end", accepts="End")(lambda ctx, event: blazen.StopEvent(event.value))
        with Clocked() as clocked:
            run = clocked.run(workflow)
            run.send_event(blazen.Event("End", "now"), delay=0.0001)  # rounded up: a millisecond
            self.assertEqual(clocked.runtime.poll(), 0)
            clocked.advance(0.001)
            self.assertEqual(run.result(TIMEOUT_S), "now")


class RetryTest(unittest.TestCase):
    def test_the_delay_grows_up_to_its_bound(self):
        workflow, began = failing(4, retries=blazen.Retry(5, initial_delay=1, multiplier=3, max_delay=10))
        with Clocked() as clocked:
            run = clocked.run(workflow)
            for attempt, delay in enumerate((1, 3, 9, 10), start=2):
                (waiting,) = run.describe()["retrying"]
                self.assertEqual((waiting["attempt"], waiting["due_in_ms"]), (attempt, delay * 1000))
                clocked.advance(delay - 0.001)
                self.assertEqual(began[-1], attempt - 1)
                clocked.advance(0.001)
                self.assertEqual(began[-1], attempt)
            self.assertEqual(run.result(TIMEOUT_S), 5)

    def test_jitter_takes_off_at_most_its_share(self):
        for _ in range(5):
            workflow, _ = failing(1, retries=blazen.Retry(2, initial_delay=100, jitter=0.25, max_delay=100))
            with Clocked() as clocked:
                due_ms = clocked.run(workflow).describe()["retrying"][0]["due_in_ms"]
                self.assertTrue(75_000 <= due_ms <= 100_000, due_ms)

    def test_a_step_says_when(self):
        workflow = blazen.Workflow("later", timeout=None)

        @workflow.step(accepts=blazen.START_EVENT, retries=blazen.Retry(2, initial_delay=1))
        def work(ctx, event):
            if ctx.attempt == 1:
                ctx.retry_after(HOUR_S)
                raise ConnectionError
            return blazen.StopEvent("later")

        with Clocked() as clocked:
            run = clocked.run(workflow)
            clocked.advance(HOUR_S - 0.001)
            self.assertEqual(run.state, blazen.RunState.RUNNING)
            clocked.advance(0.001)
            self.assertEqual(run.result(TIMEOUT_S), "later")

    def test_back_off_outlives_its_process(self):
        workflow, began = failing(2, retries=blazen.Retry(3, initial_delay=10, multiplier=2))
        with Clocked() as clocked:
            run = clocked.run(workflow)
            clocked.advance(10)
            clocked.advance(5)
            snapshot = run.snapshot()
        with Clocked() as clocked:
            run = clocked.runtime.resume(workflow, snapshot)
            run.start()
            clocked.advance(14.999)
            self.assertEqual(began, [1, 2])
            clocked.advance(0.001)
            self.assertEqual(run.result(TIMEOUT_S), 3)


class AioTimeTest(unittest.TestCase):
    def test_the_clock_goes_for_coroutines_too(self):
        cancelled = []

        async def main():
            clock = blazen.Clock()
            workflow = blazen.Workflow("slow", timeout=None)

            @workflow.step(accepts=blazen.START_EVENT, timeout=HOUR_S, retries=blazen.Retry(2, initial_delay=HOUR_S))
            async def slow(ctx, event):
                began.set()
                try:
                    await asyncio.Event().wait() if ctx.attempt == 1 else None
                except asyncio.CancelledError:
                    cancelled.append(ctx.attempt)
                    raise
                return blazen.StopEvent(ctx.attempt)

            async with blazen.aio.Runtime(clock=clock) as runtime:
                began = asyncio.Event()
                run = runtime.run(workflow)
                await began.wait()
                for _ in range(2):
                    self.assertEqual(run.state, blazen.RunState.RUNNING)
                    clock.advance(HOUR_S)
                    runtime.poll()
                self.assertEqual(await asyncio.wait_for(run.result(), TIMEOUT_S), 2)

        with nothing_left(self):
            asyncio.run(main())
        self.assertEqual(cancelled, [1])


class ClockTest(unittest.TestCase):
    def test_runtimes_share_a_clock_and_leave_nothing_in_it(self):
        clock = blazen.Clock(1000)
        self.assertEqual(clock.now, 1000)
        with nothing_left(self):
            for _ in range(3):
                runtimes = [blazen.Runtime(mode="pump", clock=clock) for _ in range(2)]
                workflow, _ = failing(1, retries=blazen.Retry(2, initial_delay=1))
                runs = [runtime.run(workflow) for runtime in runtimes]
                for seconds in (0, 1):
                    clock.advance(seconds)
                    for runtime in runtimes:
                        runtime.poll()
                self.assertEqual([run.result(TIMEOUT_S) for run in runs], [2, 2])
                del runtime, runtimes, runs, workflow
        self.assertEqual((clock.now, clock._runtimes), (1003, set()))

    def test_it_never_falls(self):
        clock = blazen.Clock(5)
        with self.assertRaisesRegex(ValueError, "never falls"):
            clock.set(4.999)
        with self.assertRaisesRegex(ValueError, "seconds"):
            clock.advance(-1)
        clock.set(5.001)
        self.assertEqual(clock.now, 5.001)

    @needs_threads
    def test_threads_of_the_engine_read_it_while_python_collects(self):
        """The engine reads the clock under a lock: what is collected meanwhile calls the engine, and must not wait."""
        clock = blazen.Clock()
        with nothing_left(self), blazen.Runtime(threads=2, clock=clock) as runtime:
            workflow = one_step(lambda ctx, event: ctx.state.update(a=1))
            for _ in range(200):
                circle = [runtime.run(workflow), runtime.create(workflow)]
                circle.append(circle)
                clock.advance(1)
                runtime.poll()
            circle[0].result(TIMEOUT_S)
            del runtime, workflow, circle

    @needs_threads
    def test_with_threads_too_time_passes_when_the_host_polls(self):
        clock = blazen.Clock()
        with blazen.Runtime(threads=2, clock=clock) as runtime:
            run = runtime.run(failing(1, retries=blazen.Retry(2, initial_delay=HOUR_S, max_delay=HOUR_S))[0])
            while not run.describe()["retrying"]:
                runtime.poll()
            clock.advance(HOUR_S)
            while run.state == blazen.RunState.RUNNING:  # a thread may be about to say what is due
                runtime.poll()
            self.assertEqual(run.result(TIMEOUT_S), 2)

    def test_the_system_has_a_clock_of_its_own(self):
        with blazen.Runtime(mode="pump") as runtime:
            self.assertIsNone(runtime.next_timer())
            with self.assertRaisesRegex(TypeError, "clock is a blazen.Clock"):
                blazen.Runtime(clock=lambda: 0)


class LogTest(unittest.TestCase):
    def answered_twice(self, **options):
        """A run whose input handler has answered already when it answers: that comes to nothing, and is logged."""

        def handler(request):
            run.respond(request.correlation, "first")
            return "second"

        with blazen.Runtime(mode="pump", **options) as runtime:
            run = runtime.create(one_step(lambda ctx, event: ctx.ask("?", request_id="é")), input_handler=handler)
            run.start()
            self.assertEqual(run.result(TIMEOUT_S), "first")

    def test_it_is_told_what_the_level_lets_through(self):
        for level, warnings in ((blazen.LogLevel.WARNING, 1), (blazen.LogLevel.DEBUG, 1), (blazen.LogLevel.ERROR, 0)):
            said = []
            with self.subTest(level), nothing_left(self):
                self.answered_twice(log=lambda *given: said.append(given), log_level=level)
            warned = [message for its_level, message in said if its_level is blazen.LogLevel.WARNING]
            self.assertEqual(len(warned), warnings)
            self.assertTrue(all("'é'" in message for message in warned), warned)
            self.assertTrue(all(its_level <= level for its_level, _ in said), said)

    def test_an_exception_in_it_harms_nobody(self):
        def log(level, message):
            raise ValueError("no paper")

        seen, before = [], sys.unraisablehook
        sys.unraisablehook = lambda unraisable: seen.append(str(unraisable.exc_value))
        try:
            self.answered_twice(log=log)
        finally:
            sys.unraisablehook = before
        self.assertEqual(seen, ["no paper"])


@needs_threads
class ExecutorTest(unittest.TestCase):
    def test_steps_run_on_an_executor_of_python(self):
        names = set()

        def step(ctx, event):
            names.add(threading.current_thread().name)
            return event.value * 2

        with concurrent.futures.ThreadPoolExecutor(2, "pool") as executor, nothing_left(self):
            with blazen.Runtime(mode="executor", executor=executor) as runtime:
                workflow = one_step(step)
                runs = [runtime.run(workflow, number) for number in range(50)]
                self.assertEqual([run.result(TIMEOUT_S) for run in runs], [2 * number for number in range(50)])
            del runtime, runs, workflow
        self.assertLessEqual(names, {"pool_0", "pool_1"})

    def test_a_task_that_is_cancelled_or_not_taken_ends_its_run(self):
        for is_cancelled in (True, False):
            executor = concurrent.futures.ThreadPoolExecutor(1)
            door, inside = threading.Event(), threading.Event()
            if is_cancelled:
                executor.submit(lambda: inside.set() or door.wait(TIMEOUT_S))
                inside.wait(TIMEOUT_S)
            with self.subTest(is_cancelled=is_cancelled), blazen.Runtime(mode="executor", executor=executor) as runtime:
                if not is_cancelled:
                    executor.shutdown()
                run = runtime.run(one_step(lambda ctx, event: 1))
                if is_cancelled:
                    executor.shutdown(wait=False, cancel_futures=True)
                with self.assertRaises(blazen.BlazenError):
                    run.result(TIMEOUT_S)
                door.set()
            executor.shutdown()

    def test_an_executor_without_threads_is_no_executor(self):
        class Elsewhere(concurrent.futures.Executor):
            def submit(self, function, *arguments):
                future = concurrent.futures.Future()
                future.set_exception(TypeError("cannot pickle a function of ctypes"))
                return future

        with blazen.Runtime(mode="executor", executor=Elsewhere()) as runtime:
            self.assertEqual(status_of(self, runtime.run(one_step(lambda ctx, event: 1))), blazen.Status.CANCELLED)

    def test_options_that_are_refused_are_let_go(self):
        with nothing_left(self), self.assertRaises(blazen.BlazenError):
            blazen.Runtime(threads=257, clock=blazen.Clock(), log=print)

    def test_mode_and_executor_belong_together(self):
        for options in ({"mode": "executor"}, {"executor": object()}):
            with self.assertRaisesRegex(ValueError, "executor"):
                blazen.Runtime(**options)


class CountersTest(unittest.TestCase):
    def test_they_count_runs_and_work(self):
        with blazen.Runtime(mode="pump") as runtime:
            runs = [runtime.create(one_step(lambda ctx, event: ctx.ask("?"))) for _ in range(4)]
            for run in runs[1:]:
                run.start()
            self.assertEqual(runtime.counters()["queued"], 3)
            runtime.poll()
            runs[2].respond(runs[2].questions()[0]["request_id"], 1)
            runtime.poll()
            runs[3].abort()
            counters = runtime.counters()
            states = {state.name.lower(): counters.get(state.name.lower()) for state in blazen.RunState if state}
            counted = {name: number for name, number in states.items() if number}
            self.assertEqual(counted, {"created": 1, "asking": 1, "completed": 1, "cancelled": 1})
            self.assertEqual(counters["in_flight"], 0)
            self.assertGreater(counters["events_routed"], 3)


if __name__ == "__main__":
    unittest.main()
