"""A step that completes later: from another thread, with a failure, or not at all."""

import threading
import unittest

from support import TIMEOUT_S, blazen, needs_threads, nothing_left

MODES = ({"mode": "pump"}, {"mode": "threads", "threads": 2})


def deferring(hand_over):
    """A workflow whose one step defers, and gives its invocation away."""
    workflow = blazen.Workflow("defers")

    @workflow.step(accepts=blazen.START_EVENT)
    def later(ctx, event):
        hand_over(ctx.defer())

    return workflow


@needs_threads
class DeferTest(unittest.TestCase):
    def setUp(self):
        self.threads = []

    def on_a_thread(self, work):
        def hand_over(invocation):
            self.threads.append(threading.Thread(target=work, args=(invocation,)))
            self.threads[-1].start()

        return hand_over

    def run_each(self, hand_over, check):
        for mode in MODES:
            with self.subTest(**mode), nothing_left(self):
                with blazen.Runtime(**mode) as runtime:
                    check(runtime.run(deferring(hand_over), "in"))
                while self.threads:
                    self.threads.pop().join()

    def test_completed_from_another_thread(self):
        def work(invocation):
            invocation.context.state["seen"] = invocation.event.value
            invocation.complete(blazen.StopEvent([invocation.context.state["seen"], "out"]))

        self.run_each(self.on_a_thread(work), lambda run: self.assertEqual(run.result(TIMEOUT_S), ["in", "out"]))

    def test_completed_before_the_body_returns(self):
        def work(invocation):
            invocation.complete(blazen.StopEvent("early"))

        self.run_each(work, lambda run: self.assertEqual(run.result(TIMEOUT_S), "early"))

    def test_failed_from_another_thread(self):
        exception = ValueError("later")

        def check(run):
            with self.assertRaises(blazen.BlazenError) as caught:
                run.result(TIMEOUT_S)
            self.assertIs(caught.exception.__cause__, exception)
            self.assertEqual(caught.exception.step, "later")

        self.run_each(self.on_a_thread(lambda invocation: invocation.fail(exception)), check)

    def test_lost_without_completion(self):
        def check(run):
            with self.assertRaises(blazen.BlazenError) as caught:
                run.result(TIMEOUT_S)
            self.assertEqual(caught.exception.status, blazen.Status.STEP_FAILED)

        self.run_each(lambda invocation: None, check)

    def test_a_second_completion_is_an_error_to_its_caller_alone(self):
        def work(invocation):
            invocation.complete(blazen.StopEvent("once"))
            errors = []
            for again in (invocation.complete, lambda: invocation.fail(ValueError())):
                try:
                    again()
                except blazen.BlazenError as error:
                    errors.append(error.status)
            statuses.append(errors)

        statuses = []
        self.run_each(work, lambda run: self.assertEqual(run.result(TIMEOUT_S), "once"))
        self.assertEqual(statuses, [[blazen.Status.WRONG_STATE] * 2] * 2)


if __name__ == "__main__":
    unittest.main()
