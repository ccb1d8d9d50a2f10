"""A step's exception comes out of result() as the same object; other failures say what they are."""

import asyncio
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
            for exception in (ValueError("no\ud800 good"), asyncio.CancelledError(), Odd()):
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
        self.assertEqual((caught.exception.offset, caught.exception.step, caught.exception.attempt), (0, None, 0))

    def test_an_error_knows_what_lies_beneath(self):
        class Odd(Exception):
            host_code = 9

        class Thing:
            def __blazen_serialize__(self):
                raise Odd("no disk")

        workflow = blazen.Workflow("keeps", idle="wait")
        workflow.step(name="put", accepts=blazen.START_EVENT)(lambda ctx, event: ctx.session.update(thing=Thing()))
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            runtime.poll()
            with self.assertRaises(blazen.BlazenError) as caught:
                run.snapshot()
            chain = [caught.exception]
            while chain[-1].__cause__ is not None:
                chain.append(chain[-1].__cause__)
            self.assertEqual(chain[0].status, blazen.Status.NOT_SERIALIZABLE)
            self.assertIn("no disk", " ".join(map(str, chain)))

    def test_limits_are_the_workflows(self):
        workflow = blazen.Workflow("loops", limits={"queued_events": 10, "questions": 1})
        workflow.step(name="spin", accepts=[blazen.START_EVENT, "More"])(lambda ctx, event: [blazen.Event("More")] * 2)
        with self.assertRaises(blazen.BlazenError) as caught:
            result_of(workflow, mode="pump")
        self.assertIn("BLAZEN_LIMIT_QUEUED_EVENTS", str(caught.exception))
        blazen.Workflow("stream", limits={"stream_retained": 0})
        with self.assertRaisesRegex(blazen.BlazenError, "bound") as caught:
            blazen.Workflow("none", limits={"questions": 0})
        self.assertEqual(caught.exception.status, blazen.Status.INVALID_ARGUMENT)


class ArgumentsTest(unittest.TestCase):
    """What is wrong is named, and is no call of the library: nothing is kept by it."""

    def refused(self, kind, words, function, *arguments, **options):
        with self.subTest(words), nothing_left(self), self.assertRaisesRegex(kind, words):
            function(*arguments, **options)

    def test_of_a_workflow(self):
        self.refused(TypeError, "name is a str, not 7", blazen.Workflow, 7)
        self.refused(ValueError, "name cannot be UTF-8", blazen.Workflow, "\ud800")
        words = "unhandled is one of 'fail', 'ignore', 'stream', not 'drop'"
        self.refused(ValueError, words, blazen.Workflow, "w", unhandled="drop")
        self.refused(ValueError, "idle is one of", blazen.Workflow, "w", idle=None)
        self.refused(ValueError, "timeout is a number of seconds, 0 or more", blazen.Workflow, "w", timeout=-1)
        self.refused(ValueError, "timeout is", blazen.Workflow, "w", timeout=float("nan"))
        self.refused(TypeError, "timeout is", blazen.Workflow, "w", timeout="1")
        self.refused(ValueError, "limits is one of", blazen.Workflow, "w", limits={"memory": 1})
        self.refused(ValueError, r"limits\['questions'\] is from 0", blazen.Workflow, "w", limits={"questions": -1})

    def test_of_a_step(self):
        workflow = blazen.Workflow("w")

        def step(words, kind=ValueError, body=lambda ctx, event: None, **options):
            given = {"name": "only", "accepts": "A", **options}
            self.refused(kind, words, lambda: workflow.step(**given)(body))

        step("accepts names no event type", accepts=[])
        step("accepts is a str or a list of str, not 7", TypeError, accepts=7)
        step("emits is a str or a list of str", TypeError, emits=[7])
        step("a step is a function, not 'text'", TypeError, body="text")
        step("max_concurrency is from 0 to 4294967295, not -1", max_concurrency=-1)
        step("timeout is a number of seconds", TypeError, timeout="soon")
        step("atomic is True or False", TypeError, atomic=1)
        step("retries is a Retry, not 3", TypeError, retries=3)
        step("max_attempts is from 1", retries=blazen.Retry(0))
        step("initial_delay is a number of seconds", retries=blazen.Retry(2, initial_delay=-1))
        step(r"only is an int, not 'x'", TypeError, retries=blazen.Retry(2, only="x"))
        step("jitter is from 0 to 1, not 7", retries=blazen.Retry(2, jitter=7))
        step("multiplier is a number, not None", TypeError, retries=blazen.Retry(2, multiplier=None))

    def test_of_runtimes_and_runs(self):
        step = one_step(lambda ctx, event: ctx.ask("?"))
        self.refused(ValueError, "mode is one of 'threads', 'pump', 'executor', not 'fast'", blazen.Runtime, "fast")
        self.refused(ValueError, "threads is from 0", blazen.Runtime, threads=-1)
        self.refused(TypeError, "log is a function", blazen.Runtime, log=7)
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(step)
            runtime.poll()
            snapshot = run.snapshot()
            self.refused(TypeError, "workflow is a Workflow, not 'w'", runtime.run, "w")
            self.refused(TypeError, "input_handler is a function", runtime.run, step, input_handler=7)
            self.refused(TypeError, "snapshot is bytes, not str", runtime.resume, step, "text")
            self.refused(ValueError, "unknown_label is one of", runtime.resume, step, snapshot, unknown_label="x")
            words = r"deserializers\['T'\] is a function"
            self.refused(TypeError, words, runtime.resume, step, snapshot, deserializers={"T": 1})
            self.refused(ValueError, "steps_max is from 0", runtime.poll, -1)
            self.refused(TypeError, "until is a list of RunStates", run.wait, 1, ["paused"])
            self.refused(ValueError, "timeout is a number of seconds", run.wait, -1)
            self.refused(TypeError, "event is an Event, not 'text'", run.send_event, "text")
            self.refused(TypeError, "event.type is a str", run.send_event, blazen.Event(7))
            self.refused(TypeError, "event.correlation is a str", run.send_event, blazen.Event("A", correlation=7))
            self.refused(TypeError, "step is a str", run.send_event, blazen.Event("A"), 7)
            self.refused(ValueError, "delay is a number of seconds", run.send_event, blazen.Event("A"), delay=-1)
            self.refused(TypeError, "drain is True or False", run.pause, drain="yes")
            self.refused(TypeError, "request_id is a str, not None", run.respond, None, 1)
            self.refused(ValueError, "from_ is from 0", run.subscribe, from_=-1)
            self.refused(TypeError, "types is a str or a list of str", run.subscribe, types=7)

    def test_of_a_context(self):
        def step(ctx, event):
            self.refused(TypeError, "key is a str, not 7", ctx.set, 7, 1)
            self.refused(TypeError, "key is a str", ctx.state.__setitem__, 7, 1)
            self.refused(ValueError, "version is from 0", ctx.state.compare_and_set, "a", -1, 1)
            self.refused(TypeError, "prompt is a str", ctx.ask, 7)
            self.refused(ValueError, "current is from 0", ctx.progress, "label", -1)
            self.refused(TypeError, "label is a str", ctx.progress, None, 1)
            self.refused(ValueError, "seconds is a number of seconds", ctx.retry_after, -1)
            self.refused(TypeError, "function", ctx.on_cancel, 7)
            self.refused(TypeError, "event is an Event", ctx.publish, 7)

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(step))
            run.result(TIMEOUT_S)


if __name__ == "__main__":
    unittest.main()
