"""Ctrl-C, sys.exit() and whatever else is no Exception: a step is not tried again for it, and it comes to the caller."""

import asyncio
import os
import signal
import threading
import time
import unittest

from support import TIMEOUT_S, blazen, needs_threads, nothing_left

ALWAYS = blazen.Retry(5, initial_delay=0)


def retried(function):
    """A workflow of one step with retries, and the list of the attempts that are made."""
    attempts, workflow = [], blazen.Workflow("retried", idle="wait")

    @workflow.step(accepts=blazen.START_EVENT, retries=ALWAYS)
    def only(ctx, event):
        attempts.append(ctx.attempt)
        return blazen.StopEvent(function())

    return workflow, attempts


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


class Quit(BaseException):
    """As test frameworks have it."""


def quit_all():
    raise Quit


class InterruptsTest(unittest.TestCase):
    def setUp(self):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

    def test_ctrl_c_in_a_step_comes_out_of_each_call_that_runs_steps(self):
        calls = {
            "result": lambda runtime, run: run.result(TIMEOUT_S),
            "wait": lambda runtime, run: run.wait(TIMEOUT_S),
            "poll": lambda runtime, run: runtime.poll(),
            "stream": lambda runtime, run: run.subscribe(from_=1).next(TIMEOUT_S),
        }
        for name, call in calls.items():
            with self.subTest(name), nothing_left(self), blazen.Runtime(mode="pump") as runtime:
                workflow, attempts = retried(ctrl_c)
                run = runtime.run(workflow)
                with self.assertRaises(KeyboardInterrupt):
                    call(runtime, run)
                self.assertEqual((run.wait(TIMEOUT_S), attempts), (blazen.RunState.FAILED, [1]))
                with self.assertRaises(KeyboardInterrupt):
                    run.result()
                del workflow, run, runtime

    @needs_threads
    def test_ctrl_c_comes_to_a_thread_that_waits_for_a_step_of_another(self):
        entered, left = threading.Event(), threading.Event()

        def step():
            entered.wait(TIMEOUT_S)
            os.kill(os.getpid(), signal.SIGINT)
            left.wait(TIMEOUT_S)

        workflow, attempts = retried(step)
        with blazen.Runtime(threads=1) as runtime:
            run = runtime.run(workflow)
            with self.assertRaises(KeyboardInterrupt):
                entered.set()
                run.result(TIMEOUT_S)
            left.set()
        self.assertEqual(attempts, [1])

    def test_ctrl_c_comes_to_a_thread_that_waits_for_nothing(self):
        for mode in ("pump", "threads") if blazen.has_feature("threads") else ():
            workflow = blazen.Workflow("idle", idle="wait")
            workflow.step(name="only", accepts=blazen.START_EVENT)(lambda ctx, event: None)
            with self.subTest(mode), blazen.Runtime(mode=mode) as runtime:
                run = runtime.run(workflow)
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
                with self.assertRaises(KeyboardInterrupt):
                    run.result(TIMEOUT_S)
                self.assertEqual(run.state, blazen.RunState.WAITING)

    @needs_threads
    def test_ctrl_c_comes_to_a_thread_that_closes(self):
        for close in ("run", "runtime"):
            entered, told, leave = threading.Event(), threading.Event(), threading.Event()

            def step(ctx, event):
                ctx.on_cancel(told.set)
                entered.set()
                leave.wait(TIMEOUT_S)

            workflow = blazen.Workflow("stays")
            workflow.step(name="only", accepts=blazen.START_EVENT)(step)
            with self.subTest(close), blazen.Runtime(threads=1) as runtime:
                run = runtime.run(workflow)
                entered.wait(TIMEOUT_S)
                # Not while the close is calling back: an interrupt that comes at the beginning of a callback is lost.
                interrupting = threading.Thread(target=lambda: told.wait(TIMEOUT_S) and (
                    time.sleep(0.3), os.kill(os.getpid(), signal.SIGINT)))
                interrupting.start()
                with self.assertRaises(KeyboardInterrupt):
                    (run if close == "run" else runtime).close()
                self.assertFalse(leave.is_set())
                leave.set()
                interrupting.join()

    def test_what_is_no_exception_comes_out_of_result_and_is_not_tried_again(self):
        for raises, expected in ((lambda: exit(3), SystemExit), (quit_all, Quit)):
            for mode in ("pump", "threads") if blazen.has_feature("threads") else ("pump",):
                workflow, attempts = retried(raises)
                with self.subTest(expected, mode=mode), blazen.Runtime(mode=mode) as runtime:
                    run = runtime.run(workflow)
                    with self.assertRaises(expected):
                        run.result(TIMEOUT_S)
                    self.assertEqual(attempts, [1])

    def test_an_input_handler_is_interrupted_likewise(self):
        workflow = blazen.Workflow("asks")
        workflow.step(name="only", accepts=blazen.START_EVENT)(lambda ctx, event: blazen.StopEvent(ctx.ask("who?")))
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow, input_handler=lambda request: ctrl_c())
            with self.assertRaises(KeyboardInterrupt):
                run.result(TIMEOUT_S)

    def test_what_is_being_pickled_then_is_not_left_out(self):
        class Slow:
            def __reduce__(self):
                ctrl_c()

        workflow = blazen.Workflow("keeps", idle="wait", session_pause_policy="pickle_or_serialize")
        workflow.step(name="only", accepts=blazen.START_EVENT)(lambda ctx, event: ctx.session.update(slow=Slow()))
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            runtime.poll()
            with self.assertRaises(KeyboardInterrupt):
                run.snapshot()

    def test_it_leaves_an_event_loop(self):
        async def asynchronous():
            ctrl_c()

        for is_async in (False, True):
            attempts, workflow = [], blazen.Workflow("in a loop")

            def step(ctx, event):
                attempts.append(ctx.attempt)
                return asynchronous() if is_async else ctrl_c()

            async def async_step(ctx, event):
                await step(ctx, event)

            workflow.step(name="only", accepts=blazen.START_EVENT, retries=ALWAYS)(async_step if is_async else step)

            async def main():
                async with blazen.aio.Runtime() as runtime:
                    await runtime.run(workflow)

            with self.subTest(is_async=is_async), self.assertRaises(KeyboardInterrupt):
                asyncio.run(main())
            self.assertEqual(attempts, [1])


if __name__ == "__main__":
    unittest.main()
