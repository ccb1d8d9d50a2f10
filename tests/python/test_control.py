"""Pause, questions, retries, cancellation and atomic steps, as a host in Python sees them. Time is in test_time.py."""

import threading
import unittest

from support import TIMEOUT_S, blazen, needs_threads, nothing_left, one_step

PAUSED = [blazen.RunState.PAUSED]
ASKING = [blazen.RunState.ASKING]


def asking(ctx, event):
    return [ctx.ask("Your name?", metadata={"of": event.value}), ctx.ask("And age?", request_id="age")]


class Interrupted(Exception):
    host_code = 7


def failing(times, **options):
    """A workflow whose step fails so often; its result is the attempt that did not."""
    workflow = blazen.Workflow("fails")

    @workflow.step(accepts=blazen.START_EVENT, **options)
    def work(ctx, event):
        if ctx.attempt <= times:
            raise Interrupted(f"attempt {ctx.attempt}")
        return blazen.StopEvent(ctx.attempt)

    return workflow


class QuestionsTest(unittest.TestCase):
    def test_a_step_asks_and_is_called_again_with_the_answer(self):
        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(asking), "form")
            self.assertEqual(run.wait(TIMEOUT_S, ASKING), blazen.RunState.ASKING)
            (first,) = run.questions()
            self.assertEqual((first["prompt"], first["metadata"], first["step"]), ("Your name?", {"of": "form"}, "only"))
            self.assertEqual(run.describe()["status"], "asking")
            run.respond(first["request_id"], {"name": "Ada"})
            run.wait(TIMEOUT_S, ASKING)
            run.respond("age", 36)
            self.assertEqual(run.result(TIMEOUT_S), [{"name": "Ada"}, 36])
            del run

    def test_an_answer_nobody_asked_for_changes_nothing(self):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(lambda ctx, event: ctx.ask("?", request_id="one")))
            run.wait(TIMEOUT_S, ASKING)
            with self.assertRaises(blazen.BlazenError) as caught:
                run.respond("two", 0)
            self.assertEqual(caught.exception.status, blazen.Status.NOT_FOUND)
            run.respond("one", None)
            self.assertIsNone(run.result(TIMEOUT_S))

    def test_a_question_outlives_its_process(self):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(asking), "form")
            run.wait(TIMEOUT_S, ASKING)
            run.respond(run.questions()[0]["request_id"], "Ada")
            run.wait(TIMEOUT_S, ASKING)
            snapshot = run.snapshot()
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.resume(one_step(asking), snapshot)
            run.start()
            run.wait(TIMEOUT_S, ASKING)
            self.assertEqual([question["request_id"] for question in run.questions()], ["age"])
            run.respond("age", 36)
            self.assertEqual(run.result(TIMEOUT_S), ["Ada", 36])

    def test_an_input_handler_answers_inline(self):
        asked = []

        def answer(request):
            asked.append((request.type, request.value["prompt"]))
            return len(asked)

        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            self.assertEqual(runtime.run(one_step(asking), input_handler=answer).result(TIMEOUT_S), [1, 2])
        self.assertEqual(asked, [(blazen.INPUT_REQUEST_EVENT, "Your name?"), (blazen.INPUT_REQUEST_EVENT, "And age?")])

    def test_an_input_handler_that_raises_fails_the_run(self):
        exception = KeyError("nobody is here")

        def refuse(request):
            raise exception

        with blazen.Runtime(mode="pump") as runtime:
            with self.assertRaises(blazen.BlazenError) as caught:
                runtime.run(one_step(asking), input_handler=refuse).result(TIMEOUT_S)
        self.assertIs(caught.exception.__cause__, exception)

    def test_an_input_handler_may_leave_it_to_respond(self):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(lambda ctx, event: ctx.ask("?")), input_handler=lambda request: None)
            run.wait(TIMEOUT_S, ASKING)
            run.respond(run.questions()[0]["request_id"], "late")
            self.assertEqual(run.result(TIMEOUT_S), "late")


class RetriesTest(unittest.TestCase):
    @needs_threads  # without them, a wait does not sleep until a moment
    def test_a_step_is_tried_again_by_the_clock_of_the_system(self):
        retries = blazen.Retry(3, initial_delay=0.01, jitter=0.5)
        with blazen.Runtime(mode="pump") as runtime:
            self.assertEqual(runtime.run(failing(2, retries=retries)).result(TIMEOUT_S), 3)

    def test_the_last_failure_is_told(self):
        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            with self.assertRaises(blazen.BlazenError) as caught:
                runtime.run(failing(9, retries=blazen.Retry(2))).result(TIMEOUT_S)
            self.assertIsInstance(caught.exception.__cause__, Interrupted)
            self.assertEqual((caught.exception.attempt, caught.exception.host_code), (2, 7))
            del caught

    def test_host_codes_say_what_is_tried_again(self):
        for retries, attempts in (
            (blazen.Retry(3, only=[8]), 1),
            (blazen.Retry(3, only=[7]), 3),
            (blazen.Retry(3, never=[7]), 1),
        ):
            with self.subTest(retries=retries), blazen.Runtime(mode="pump") as runtime:
                with self.assertRaises(blazen.BlazenError) as caught:
                    runtime.run(failing(9, retries=retries)).result(TIMEOUT_S)
                self.assertEqual(caught.exception.attempt, attempts)


class PauseTest(unittest.TestCase):
    def test_pause_and_go_on(self):
        for mode in ("keep", "clear"):
            workflow = blazen.Workflow("pauses", session_on_pause=mode)

            @workflow.step(accepts=blazen.START_EVENT)
            def begin(ctx, event):
                ctx.session["thing"] = object()
                return blazen.Event("More")

            @workflow.step(accepts="More")
            def end(ctx, event):
                return blazen.StopEvent("thing" in ctx.session)

            with self.subTest(mode), blazen.Runtime(mode="pump") as runtime:
                run = runtime.run(workflow)
                runtime.poll(1)
                run.pause(drain=True)
                self.assertEqual(run.wait(TIMEOUT_S, PAUSED), blazen.RunState.PAUSED)
                self.assertEqual(runtime.poll(), 0)
                run.resume_in_place()
                self.assertEqual(run.result(TIMEOUT_S), mode == "keep")

    def test_a_snapshot_of_a_paused_run_goes_on_unless_it_is_kept_paused(self):
        workflow = blazen.Workflow("pauses")

        @workflow.step(accepts=blazen.START_EVENT)
        def begin(ctx, event):
            return blazen.Event("More")

        @workflow.step(accepts="More")
        def end(ctx, event):
            return blazen.StopEvent("ended")

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            runtime.poll(1)
            run.pause()
            snapshot = run.snapshot()
            self.assertEqual(blazen.snapshot_info(snapshot)["state"], "paused")
            for keep in (False, True):
                with self.subTest(keep_paused=keep):
                    resumed = runtime.resume(workflow, snapshot, keep_paused=keep)
                    stream = resumed.stream()
                    resumed.start()
                    if keep:
                        # Nobody but this thread could let it go on.
                        for wait in (resumed.wait, resumed.result, stream.next):
                            self.assertRaisesRegex(blazen.BlazenTimeout, "paused", wait)
                        resumed.resume_in_place()
                    self.assertEqual(resumed.result(TIMEOUT_S), "ended")

    @needs_threads
    def test_abort_cancels_the_step(self):
        begun, told = threading.Event(), threading.Event()
        workflow = blazen.Workflow("aborted")

        @workflow.step(accepts=blazen.START_EVENT)
        def work(ctx, event):
            ctx.on_cancel(told.set)
            begun.set()
            told.wait(TIMEOUT_S)

        with blazen.Runtime(threads=1) as runtime:
            run = runtime.run(workflow)
            begun.wait(TIMEOUT_S)
            run.abort()
            run.abort()
            with self.assertRaises(blazen.BlazenError) as caught:
                run.result(TIMEOUT_S)
            self.assertEqual(caught.exception.status, blazen.Status.ABORTED)
        self.assertTrue(told.is_set())


class AtomicTest(unittest.TestCase):
    def test_what_an_atomic_step_wrote_goes_with_its_failure(self):
        workflow = blazen.Workflow("atomic")

        @workflow.step(accepts=blazen.START_EVENT, atomic=True, retries=blazen.Retry(2))
        def work(ctx, event):
            seen = dict(ctx.state)
            ctx.state["attempt"] = ctx.attempt
            self.assertEqual(ctx.state["attempt"], ctx.attempt)
            if ctx.attempt == 1:
                raise Interrupted
            return blazen.StopEvent(seen)

        with blazen.Runtime(mode="pump") as runtime:
            self.assertEqual(runtime.run(workflow).result(TIMEOUT_S), {})


class StreamTest(unittest.TestCase):
    def test_lifecycle_progress_types_and_replay(self):
        workflow = blazen.Workflow("streams")

        @workflow.step(accepts=blazen.START_EVENT)
        def work(ctx, event):
            ctx.progress("half", 1, 2)
            for number in range(3):
                ctx.publish(blazen.Event("Number", number))
            ctx.publish(blazen.Event("Other"))
            return blazen.StopEvent()

        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.create(workflow)
            everything = run.subscribe(lifecycle=True)
            numbers = run.subscribe(types=["Number"], hold=True, capacity=2)
            run.start()
            runtime.poll()
            self.assertEqual([item.value for item in numbers], [0, 1, 2])
            self.assertEqual([item.type for item in run.subscribe(from_=3)], ["Number", "Other"])
            items = list(everything)
            kinds = [item.value["kind"] for item in items if item.type == blazen.LIFECYCLE]
            self.assertEqual(kinds, ["event_routed", "step_started", "step_completed", "event_routed"])
            (progress,) = [item.value for item in items if item.type == blazen.PROGRESS]
            self.assertEqual((progress["label"], progress["percent"]), ("half", 50))
            del run, everything, numbers


class Thing:
    """Pickles, and is kept by identity in the session."""

    def __init__(self, name):
        self.name = name


class Connection:
    """Says itself what a snapshot keeps of it."""

    def __init__(self, address):
        self.address = address
        self.lock = threading.Lock()

    def __blazen_serialize__(self):
        return self.address.encode()


def keeps(make, **options):
    """A workflow that puts an object into its session, and waits for an event to look at it."""
    workflow = blazen.Workflow("keeps", idle="wait", **options)

    @workflow.step(accepts=blazen.START_EVENT)
    def put(ctx, event):
        ctx.session["thing"] = make()

    @workflow.step(accepts="Look")
    def look(ctx, event):
        return blazen.StopEvent(ctx.session.get("thing"))

    return workflow


class SessionPolicyTest(unittest.TestCase):
    def snapshot(self, workflow):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            run.wait(TIMEOUT_S, [blazen.RunState.WAITING])
            return run.snapshot()

    def found(self, workflow, snapshot, **options):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.resume(workflow, snapshot, **options)
            run.start()
            run.send_event(blazen.Event("Look"))
            return run.result(TIMEOUT_S), run.dropped()

    def test_what_pickles_is_kept_as_it_is(self):
        for make in (lambda: Thing("Ada"), lambda: {"name": "Ada"}):
            with nothing_left(self):
                workflow = keeps(make)
                found, dropped = self.found(workflow, self.snapshot(workflow))
                self.assertEqual((getattr(found, "name", None) or found["name"], dropped), ("Ada", []))
                del workflow, found

    def test_what_does_not_is_an_error_that_names_it_or_is_dropped(self):
        with self.assertRaises(blazen.BlazenError) as caught:
            self.snapshot(keeps(threading.Lock))
        self.assertEqual(caught.exception.status, blazen.Status.NOT_SERIALIZABLE)
        self.assertIn("thing", str(caught.exception))
        workflow = keeps(threading.Lock, session_pause_policy="pickle_or_serialize")
        self.assertEqual(self.found(workflow, self.snapshot(workflow)), (None, ["session 'thing'"]))
        workflow = keeps(lambda: Thing("Ada"), session_pause_policy="warn_drop")
        self.assertEqual(self.found(workflow, self.snapshot(workflow)), (None, ["session 'thing'"]))
        with self.assertRaises(blazen.BlazenError):
            self.snapshot(keeps(lambda: 1, session_pause_policy="hard_error"))

    def test_a_type_of_its_own_has_a_deserializer(self):
        workflow = keeps(lambda: Connection("db:1"))
        snapshot = self.snapshot(workflow)
        found, _ = self.found(workflow, snapshot, deserializers={"Connection": lambda data: Connection(data.decode())})
        self.assertEqual((type(found), found.address), (Connection, "db:1"))
        with self.assertRaises(blazen.BlazenError) as caught:
            self.found(workflow, snapshot)
        self.assertEqual(caught.exception.status, blazen.Status.NOT_SERIALIZABLE)
        self.assertEqual(self.found(workflow, snapshot, unknown_label="skip"), (None, ["session 'thing'"]))


if __name__ == "__main__":
    unittest.main()
