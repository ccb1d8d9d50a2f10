"""A step's exception comes out of result() as the same object; other failures say what they are."""

import traceback
import unittest

from support import TIMEOUT_S, blazen, nothing_left, one_step, result_of


MODES = ({"mode": "pump"}, {"mode": "threads", "threads": 2})


class Odd(Exception):
    host_code = 42

    def __str__(self):
        raise RuntimeError("no words")


class ErrorsTest(unittest.TestCase):
    def failure_of(self, exception, **runtime):
        def step(ctx, event):
            raise exception

        with self.assertRaises(blazen.BlazenError) as caught:
            result_of(one_step(step), **runtime)
        return caught.exception

    def test_the_same_exception_comes_out(self):
        for runtime in MODES:
            for exception in (ValueError("no\ud800 good"), KeyboardInterrupt(), Odd()):
                error = self.failure_of(exception, **runtime)
                self.assertIs(error.__cause__, exception)
                self.assertIs(error.detail, exception)
                self.assertEqual((error.status, error.step, error.attempt), (blazen.Status.STEP_FAILED, "only", 1))
                self.assertEqual(error.host_code, getattr(exception, "host_code", 0))

    def test_the_traceback_leads_into_the_step(self):
        error = self.failure_of(ValueError("here"))
        self.assertIn("raise exception", "".join(traceback.format_exception(None, error, error.__traceback__)))

    def test_its_traceback_holds_nothing_for_ever(self):
        for runtime in MODES:
            with self.subTest(**runtime), nothing_left(self), blazen.Runtime(**runtime) as opened:
                run = opened.run(one_step(lambda ctx, event: 1 // 0))
                with self.assertRaises(blazen.BlazenError) as caught:
                    run.result(TIMEOUT_S)
                self.assertIsInstance(caught.exception.__cause__, ZeroDivisionError)
                del run, opened, caught

    def test_result_says_the_same_again(self):
        exception = ValueError("no")

        def step(ctx, event):
            raise exception

        with blazen.Runtime() as runtime:
            run = runtime.run(one_step(step))
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.FAILED)
            for _ in range(2):
                with self.assertRaises(blazen.BlazenError) as caught:
                    run.result()
                self.assertIs(caught.exception.__cause__, exception)

    def test_what_is_not_an_event_fails_the_step(self):
        workflow = blazen.Workflow("wrong")
        workflow.step(name="only", accepts=blazen.START_EVENT)(lambda ctx, event: "text")
        with self.assertRaises(blazen.BlazenError) as caught:
            result_of(workflow)
        self.assertIsInstance(caught.exception.__cause__, TypeError)

    def test_failures_without_an_exception(self):
        workflow = blazen.Workflow("stalls")
        workflow.step(name="only", accepts=blazen.START_EVENT)(lambda ctx, event: None)
        with self.assertRaises(blazen.BlazenError) as caught:
            result_of(workflow)
        self.assertEqual(caught.exception.status, blazen.Status.STALLED)
        self.assertIsNone(caught.exception.__cause__)

    def test_a_workflow_that_could_never_work(self):
        with nothing_left(self):
            workflow = blazen.Workflow("never")
            workflow.step(name="only", accepts="Nobody", emits="Unheard")(lambda ctx, event: None)
            with self.assertRaises(blazen.BlazenError) as caught:
                workflow.build()
            self.assertEqual(caught.exception.status, blazen.Status.INVALID_WORKFLOW)
            del workflow, caught

    def test_a_bad_snapshot(self):
        with blazen.Runtime(mode="pump") as runtime, self.assertRaises(blazen.BlazenError) as caught:
            runtime.resume(one_step(lambda ctx, event: None), b"not a snapshot")
        self.assertEqual(caught.exception.status, blazen.Status.SNAPSHOT_INVALID)


if __name__ == "__main__":
    unittest.main()
