"""What the host does to a run from outside: its state, its id, a fork of it, its questions before and beyond their time, and
every event that is routed."""

import asyncio
import unittest
import uuid

from aio_support import QuietTest, under_way, workflow_of
from support import TIMEOUT_S, blazen, nothing_left, one_step

ASKING = [blazen.RunState.ASKING]
HOUR_S = 3600
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def status_of(test, call, *arguments, **options):
    with test.assertRaises(blazen.BlazenError) as caught:
        call(*arguments, **options)
    return caught.exception.status


def waiting():
    """A workflow that counts what it is sent, and ends with its state at "End"."""
    workflow = blazen.Workflow("waiting", idle="wait")

    @workflow.step(accepts=[blazen.START_EVENT, "More"])
    def count(ctx, event):
        ctx.state["count"] = ctx.state.get("count", 0) + 1

    workflow.step(name="end", accepts="End")(lambda ctx, event: blazen.StopEvent(dict(ctx.state)))
    return workflow


class ValuesTest(unittest.TestCase):
    def test_the_state_is_read_and_written_from_outside(self):
        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.create(waiting())
            run.values["count"] = 40
            run.values.update(a={"b": [1]}, c=b"\0", d=(1, 2))
            run.start()
            run.wait(TIMEOUT_S, [blazen.RunState.WAITING])
            self.assertEqual(dict(run.values), {"count": 41, "a": {"b": [1]}, "c": b"\0", "d": (1, 2)})
            self.assertEqual((len(run.values), run.values.names("c")), (4, ["c", "count"]))
            self.assertEqual(run.values.stored("d").codec, "python/pickle")
            del run.values["d"]
            self.assertEqual(("d" in run.values, run.values.get("d"), run.values.pop("c")), (False, None, b"\0"))
            with self.assertRaises(KeyError):
                run.values["d"]
            with self.assertRaises(KeyError):
                del run.values["d"]
            run.send_event(blazen.Event("End"))
            self.assertEqual(run.result(TIMEOUT_S), {"count": 41, "a": {"b": [1]}})
            self.assertEqual(run.values["count"], 41)
            self.assertEqual(status_of(self, run.values.update, count=0), blazen.Status.CANCELLED)
            del run, runtime

    def test_versions(self):
        with blazen.Runtime(mode="pump") as runtime:
            values = runtime.create(waiting()).values
            version = values.compare_and_set("k", 0, "first")
            self.assertEqual(values.version("k"), version)
            self.assertEqual(status_of(self, values.compare_and_set, "k", 0, "second"), blazen.Status.CONFLICT)
            conflict = status_of(self, values.apply, {"a": 1}, remove=["k"], expect={"k": version + 1})
            self.assertEqual((conflict, dict(values)), (blazen.Status.CONFLICT, {"k": "first"}))
            values.apply({"a": 1}, remove=["k"], expect={"k": version, "a": 0})
            self.assertEqual(dict(values), {"a": 1})
            values.clear()
            self.assertEqual((dict(values), values.version("a")), ({}, 0))

    def test_bad_input(self):
        with blazen.Runtime(mode="pump") as runtime:
            values = runtime.create(waiting()).values
            self.assertEqual(status_of(self, values.__setitem__, "", 1), blazen.Status.INVALID_ARGUMENT)
            self.assertEqual(status_of(self, values.__setitem__, "k", lambda: 0), blazen.Status.WRONG_TAG)
            with self.assertRaisesRegex(TypeError, "key is a str"):
                values[1]
            with self.assertRaisesRegex(ValueError, "version is from 0"):
                values.compare_and_set("k", -1, 0)


class IdTest(unittest.TestCase):
    def test_a_run_has_the_id_that_the_host_gives(self):
        with blazen.Runtime(mode="pump") as runtime:
            for given in (ID, uuid.UUID(ID)):
                run = runtime.run(one_step(lambda ctx, event: ctx.run_id), run_id=given)
                self.assertEqual((run.id, run.result(TIMEOUT_S)), (ID, ID))
                run.close()
            self.assertEqual(status_of(self, runtime.create, waiting(), run_id="7"), blazen.Status.INVALID_ARGUMENT)
            with self.assertRaisesRegex(TypeError, "run_id is a str"):
                runtime.create(waiting(), run_id=7)

    def test_a_fork_is_a_run_of_its_own(self):
        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(waiting())
            run.wait(TIMEOUT_S, [blazen.RunState.WAITING])
            snapshot = run.snapshot()
            forks = [runtime.resume(waiting(), snapshot, fork=True), runtime.resume(waiting(), snapshot, fork=True, run_id=ID)]
            for sent, fork in enumerate(forks):
                fork.start()
                for _ in range(sent):
                    fork.send_event(blazen.Event("More"))
                fork.send_event(blazen.Event("End"))
                self.assertEqual(fork.result(TIMEOUT_S), {"count": 1 + sent})
            self.assertEqual(len({run.id, *(fork.id for fork in forks)}), 3)
            self.assertEqual(forks[1].id, ID)
            self.assertEqual(run.values["count"], 1)
            refused = status_of(self, runtime.resume, waiting(), snapshot, run_id=ID)
            self.assertEqual(refused, blazen.Status.INVALID_ARGUMENT)
            del run, runtime, fork, forks


class QuestionsTest(unittest.TestCase):
    def test_the_default_answers_at_the_deadline(self):
        for default in ("nobody", {"a": (1,)}, None):
            clock = blazen.Clock()
            workflow = one_step(lambda ctx, event: ctx.ask("Who?", deadline=HOUR_S, default=default))
            with self.subTest(default), blazen.Runtime(mode="pump", clock=clock) as runtime:
                run = runtime.run(workflow)
                run.wait(TIMEOUT_S, ASKING)
                self.assertEqual(run.questions()[0]["deadline_ms"], round((clock.now + HOUR_S) * 1000))
                clock.advance(HOUR_S - 0.001)
                runtime.poll()
                self.assertEqual(run.state, blazen.RunState.ASKING)
                clock.advance(0.001)
                self.assertEqual(run.result(TIMEOUT_S), default)

    def test_bad_deadlines(self):
        for options, kind, message in (
            ({"deadline": 0}, ValueError, "deadline is more than 0"),
            ({"deadline": "soon"}, TypeError, "deadline is a number of seconds"),
            ({"deadline": 1, "default": lambda: 0}, blazen.BlazenError, "default_answer"),
        ):
            with self.subTest(**options), blazen.Runtime(mode="pump") as runtime:
                with self.assertRaises(blazen.BlazenError) as caught:
                    runtime.run(one_step(lambda ctx, event: ctx.ask("?", **options))).result(TIMEOUT_S)
                self.assertIsInstance(caught.exception.__cause__, kind)
                self.assertRegex(str(caught.exception.__cause__), message)

    def test_one_that_is_withdrawn_is_cancelled_for_its_step(self):
        def ask(ctx, event):
            try:
                return ctx.ask("?", request_id="q")
            except blazen.BlazenError as failure:
                return failure.status.name

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(ask))
            run.wait(TIMEOUT_S, ASKING)
            run.withdraw_question("q")
            self.assertEqual(run.result(TIMEOUT_S), "CANCELLED")
            self.assertEqual(status_of(self, run.withdraw_question, "q"), blazen.Status.CANCELLED)
            run = runtime.run(one_step(ask))
            self.assertEqual(status_of(self, run.withdraw_question, "p"), blazen.Status.NOT_FOUND)

    def test_an_answer_may_come_before_its_question(self):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(lambda ctx, event: ctx.ask("?", request_id="q")))
            run.respond_early("q", {"a": 1})
            self.assertEqual(status_of(self, run.respond_early, "q", 2), blazen.Status.CONFLICT)
            self.assertEqual(status_of(self, run.respond_early, "r", lambda: 0), blazen.Status.WRONG_TAG)
            again = runtime.resume(one_step(lambda ctx, event: ctx.ask("?", request_id="q")), run.snapshot())
            again.start()
            for each in (run, again):
                self.assertEqual(each.result(TIMEOUT_S), {"a": 1})


class AioQuestionsTest(QuietTest):
    def test_deadlines_early_answers_and_withdrawals(self):
        clock = blazen.Clock()

        async def test(runtime):
            late = runtime.run(workflow_of(lambda ctx, event: ctx.ask("?", deadline=HOUR_S, default=[1])))
            early = runtime.create(workflow_of(lambda ctx, event: ctx.ask("?", request_id="q")))
            early.start()
            early.respond_early("q", "early")
            gone = runtime.run(workflow_of(lambda ctx, event: ctx.ask("?", request_id="q")))
            for run in (late, gone):
                await under_way(run)
            clock.advance(HOUR_S)
            runtime.poll()
            gone.withdraw_question("q")
            self.assertEqual([await late, await early], [[1], "early"])
            with self.assertRaisesRegex(blazen.BlazenError, "'q' was withdrawn") as caught:
                await gone
            self.assertEqual(caught.exception.__cause__.status, blazen.Status.CANCELLED)
            caught.exception.__traceback__ = None

        self.run_quietly(test, clock)

    def test_routed_events(self):
        async def test(runtime):
            run = runtime.create(workflow_of(lambda ctx, event: asyncio.sleep(0, 7)))
            async with run.subscribe(routed=True) as stream:
                run.start(1)
                items = [(item.type, item.value) async for item in stream]
            self.assertEqual(items, [(blazen.START_EVENT, 1), (blazen.STOP_EVENT, 7)])
            self.assertEqual(runtime.poll_next(), (0, None))

        self.run_quietly(test)


class StreamsTest(unittest.TestCase):
    def test_routed_events_are_whole_and_have_no_number(self):
        workflow = blazen.Workflow("routes")
        workflow.step(name="a", accepts=blazen.START_EVENT)(lambda ctx, event: blazen.Event("B", [1], "c"))

        @workflow.step(accepts="B")
        def b(ctx, event):
            ctx.publish(blazen.Event("Said", 2))
            return blazen.StopEvent((3,))

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.create(workflow)
            with run.subscribe(routed=True) as stream, run.subscribe() as other:
                run.start()
                items = [(item.type, item.value, item.correlation, item.source, item.sequence) for item in stream]
                self.assertEqual([item.type for item in other], ["Said"])
        self.assertEqual(
            items,
            [
                (blazen.START_EVENT, None, None, None, 0),
                ("B", [1], "c", "a", 0),
                ("Said", 2, None, "b", 1),
                (blazen.STOP_EVENT, (3,), None, "b", 1),
            ],
        )
        with self.assertRaisesRegex(TypeError, "routed is True or False"):
            run.subscribe(routed=1)


class PollTest(unittest.TestCase):
    def test_a_poll_says_when_to_poll_again(self):
        with blazen.Runtime(mode="pump") as runtime:
            self.assertEqual(runtime.poll_next(), (0, None))
            runs = [runtime.run(one_step(lambda ctx, event: 1)) for _ in range(3)]
            steps, delay = runtime.poll_next(1)
            self.assertEqual((steps, delay), (1, 0))
            self.assertEqual(runtime.poll_next()[0], 2)
            self.assertEqual([run.result(TIMEOUT_S) for run in runs], [1, 1, 1])


if __name__ == "__main__":
    unittest.main()
