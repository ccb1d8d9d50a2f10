"""Steps that are workflows, one or several at once, with functions and with coroutines: what goes in and comes out, and
what becomes of failures; their questions, streams and snapshots; a look at one; and bad input."""

import asyncio
import functools
import tempfile
import threading
import unittest
import uuid
from pathlib import Path

import nested
from aio_support import QuietTest, never
from support import TIMEOUT_S, blazen, nothing_left, result_of, run_python

START, STOP, ASKING = blazen.START_EVENT, blazen.STOP_EVENT, blazen.RunState.ASKING
WAYS = ("pump", "threads", "asyncio")
FIRST = blazen.JoinStrategy.FirstCompletes


def result(way, workflow, input=None):
    if way != "asyncio":
        return result_of(workflow, input, mode=way)

    async def main():
        async with blazen.aio.Runtime() as runtime:
            return await asyncio.wait_for(runtime.run(workflow, input).result(), TIMEOUT_S)

    return asyncio.run(main())


def as_in(way, function):
    """The function, or the same as a coroutine."""

    @functools.wraps(function)
    async def coroutine(*arguments):
        await asyncio.sleep(0)
        return function(*arguments)

    return coroutine if way == "asyncio" else function


def ending(way, function, name="inner", **options):
    """A workflow whose result is what the function makes of its input; its run has the state {"input": ...}."""

    def only(ctx, event):
        ctx.state["input"] = event.value
        return blazen.StopEvent(function(ctx, event))

    workflow = blazen.Workflow(name, **options)
    workflow.step(name="only", accepts=START)(as_in(way, only))
    return workflow


def doubling(way="pump"):
    return ending(way, lambda ctx, event: event.value * 2)


def failing(way="pump", error=ValueError):
    def fail(ctx, event):
        raise error(f"no luck with {event.value}")

    return ending(way, fail)


def asking(way="pump", id="q"):
    if way != "asyncio":
        return ending(way, lambda ctx, event: ctx.ask(f"who is {event.value}?", request_id=id))
    workflow = blazen.Workflow("asks")

    @workflow.step(accepts=START)
    async def ask(ctx, event):
        return blazen.StopEvent(await ctx.ask(f"who is {event.value}?", request_id=id))

    return workflow


def around(inner, step="inner", **options):
    """A workflow whose only step is another one."""
    workflow = blazen.Workflow("outer", **options.pop("workflow", {}))
    workflow.subworkflow(step, inner, accepts=START, emits=STOP, **options)
    return workflow


def several(branches, **options):
    workflow = blazen.Workflow("outer")
    workflow.subworkflows("all", branches, accepts=START, emits=STOP, **options)
    return workflow


def asked(run):
    run.wait(TIMEOUT_S, [ASKING])
    return run.questions()


class EveryWayTest(unittest.TestCase):
    def each_way(self):
        for way in WAYS:
            with self.subTest(way), nothing_left(self):
                yield way

    def failure(self, way, workflow, input=None):
        with self.assertRaises(blazen.BlazenError) as caught:
            result(way, workflow, input)
        return caught.exception


class OneTest(EveryWayTest):
    def test_its_result_is_the_value_of_an_event(self):
        def outer(way):
            workflow = blazen.Workflow("outer")
            workflow.subworkflow("double", doubling(way), accepts=[START, "More"])
            end = lambda ctx, event: blazen.StopEvent([event.type, event.value])  # noqa: E731
            workflow.step(name="end", accepts="double::output")(as_in(way, end))
            return workflow

        for way in self.each_way():
            self.assertEqual(result(way, outer(way), 21), ["double::output", 42])
            self.assertEqual(result(way, around(doubling(way)), 4), 8)

    def test_by_the_names_of_other_languages(self):
        def outer(way):
            workflow = blazen.Workflow("outer")
            workflow.add_subworkflow_step("one", [START], [], doubling(way), 60, blazen.Retry(2))
            specs, workflows = ["a", {"name": "b"}], [doubling(way), doubling(way)]
            workflow.add_parallel_subworkflows("both", ["one::output"], ["Both"], specs, workflows)
            first = blazen.JoinStrategy.FirstCompletes
            workflow.add_parallel_subworkflows("any", "Both", STOP, ["c"], [ending(way, _value)], first)
            return workflow

        for way in self.each_way():
            self.assertEqual(result(way, outer(way), 3), {"a": 12, "b": 12})

    def test_many_at_once_and_few(self):
        for concurrency in (0, 2):
            for way in self.each_way():
                workflow = blazen.Workflow("outer")
                parts = lambda ctx, event: [blazen.Event("Part", part) for part in range(30)]  # noqa: E731
                workflow.step(name="start", accepts=START)(parts)
                workflow.subworkflow("double", doubling(way), accepts="Part", max_concurrency=concurrency)
                join = lambda ctx, event: blazen.StopEvent([each.value for each in ctx.events])  # noqa: E731
                ordered = blazen.Join("start", ordered=True)
                workflow.step(name="end", accepts="double::output", joins=ordered)(join)
                self.assertEqual(result(way, workflow), list(range(0, 60, 2)))
                del workflow

    def test_a_join_may_be_a_workflow(self):
        for way in self.each_way():
            workflow = blazen.Workflow("outer")
            workflow.step(name="start", accepts=START)(lambda ctx, event: [blazen.Event("Part", n) for n in range(4)])
            gather = lambda ctx, event: sorted(each.value for each in ctx.events)  # noqa: E731
            options = {"accepts": "Part", "emits": STOP, "input": gather, "joins": "start"}
            workflow.subworkflow("end", doubling(way), **options)
            self.assertEqual(result(way, workflow), [0, 1, 2, 3, 0, 1, 2, 3])
            del workflow

    def test_it_has_its_own_state_and_id(self):
        def inner(ctx, event):
            seen = [dict(ctx.state), ctx.workflow_name, ctx.step_name, uuid.UUID(ctx.run_id).version]
            return [*seen, ctx.run_id != event.value]

        def outer(way):
            def start(ctx, event):
                ctx.state["mine"] = 1
                return blazen.Event("Go", ctx.run_id)

            workflow = blazen.Workflow("outer")
            workflow.step(accepts=START)(as_in(way, start))
            workflow.subworkflow("inner", ending(way, inner), accepts="Go")

            def end(ctx, event):
                return blazen.StopEvent([event.value[1:], list(ctx.state)])

            workflow.step(accepts="inner::output")(end)
            return workflow

        for way in self.each_way():
            self.assertEqual(result(way, outer(way)), [["inner", "only", 8, True], ["mine"]])

    def test_objects_go_in_and_come_out(self):
        for way in self.each_way():
            self.assertEqual(result(way, around(ending(way, _value)), nested.Stay("Oslo", 2)), nested.Stay("Oslo", 2))
            self.assertEqual(result(way, around(ending(way, _value)), b"\0\xff"), b"\0\xff")
        lock = threading.Lock()
        self.assertIs(result("pump", around(ending("pump", lambda ctx, event: lock))), lock)
        self.assertIs(result("pump", around(ending("pump", lambda ctx, event: 1), output=lambda _: lock)), lock)

    def test_runs_inside_one_another(self):
        for way in self.each_way():
            workflow = doubling(way)
            for _ in range(20):
                workflow = around(workflow)
            self.assertEqual(result(way, workflow, 3), 6)
            del workflow

    def test_a_workflow_that_contains_itself_ends_by_its_depth(self):
        def deeper(ctx, event):
            return blazen.Event("Deeper", event.value - 1) if event.value else blazen.StopEvent("bottom")

        def itself(way, inner=lambda workflow: workflow, **limits):
            workflow = blazen.Workflow("self", limits=limits)
            workflow.step(name="start", accepts=START)(as_in(way, deeper))
            workflow.subworkflow("deeper", inner(workflow), accepts="Deeper", emits=STOP)
            return workflow

        for way in self.each_way():
            for inner in (lambda workflow: workflow, lambda workflow: None):
                self.assertEqual(result(way, itself(way, inner), 64), "bottom")
            for depth, limits in ((64, {}), (3, {"child_depth": 3})):
                error = self.failure(way, itself(way, **limits), depth + 1)
                self.assertRegex(str(error), rf"BLAZEN_LIMIT_CHILD_DEPTH \({depth}\)")
                del error

    def test_so_many_at_once(self):
        workflow = blazen.Workflow("outer", limits={"children": 3})
        workflow.step(name="start", accepts=START)(lambda ctx, event: [blazen.Event("Part")] * 4)
        workflow.subworkflow("inner", asking(), accepts="Part")
        workflow.step(name="end", accepts="inner::output")(lambda ctx, event: None)
        self.assertRegex(str(self.failure("pump", workflow)), r"BLAZEN_LIMIT_CHILDREN \(3\)")


def _value(ctx, event):
    return event.value


class MappersTest(EveryWayTest):
    def test_they_decide_what_goes_in_and_comes_out(self):
        def around_of(way, input, output):
            return around(doubling(way), input=as_in(way, input), output=as_in(way, output))

        def with_context(ctx, given):
            ctx.state["seen"] = [*ctx.state.get("seen", []), ctx.step_name]
            value = given.value if isinstance(given, blazen.Event) else {"twice": given, "seen": ctx.state["seen"]}
            return value

        for way in self.each_way():
            made = around_of(way, lambda event: event.value + 1, lambda doubled: {"twice": doubled})
            self.assertEqual(result(way, made, 4), {"twice": 10})
            made = around_of(way, with_context, with_context)
            seen = ["inner::input", "inner::output"]
            self.assertEqual(result(way, made, 4), {"twice": 8, "seen": seen})
            del made
            none = around(ending(way, _value), input=as_in(way, lambda event: None))
            self.assertIsNone(result(way, none, 4))
            self.assertEqual(result(way, around(ending(way, _value), output=list), "ab"), ["a", "b"])
            del none

    def test_a_function_by_a_coroutine(self):
        async def output(doubled):
            await asyncio.sleep(0)
            return -doubled

        with nothing_left(self):
            self.assertEqual(result("asyncio", around(doubling(), input=lambda event: 5, output=output)), -10)
            error = self.failure("pump", around(doubling(), output=output), 1)
            self.assertIn("runs on a blazen.aio.Runtime alone", str(error))
            del error

    def test_an_output_may_be_other_events(self):
        def outer(way, output):
            workflow = blazen.Workflow("outer")
            workflow.subworkflow("inner", doubling(way), accepts=START, emits="Never", output=as_in(way, output))
            workflow.step(name="never", accepts="Never")(lambda ctx, event: None)

            def end(ctx, event):
                return blazen.StopEvent([event.type, event.value])

            workflow.step(accepts=["Even", "Odd"])(as_in(way, end))
            return workflow

        for way in self.each_way():
            for output in (
                lambda doubled: blazen.Event("Even", doubled),
                lambda ctx, doubled: [blazen.Event("Even", doubled)],
            ):
                self.assertEqual(result(way, outer(way, output), 2), ["Even", 4])
            input = as_in(way, lambda event: event)
            error = self.failure(way, around(doubling(way), input=input), 2)
            self.assertIsInstance(error.__cause__, TypeError)
            self.assertIn("input returns what the workflow is run with, and no event", str(error))
            del error

    def test_one_that_fails_is_tried_again_as_its_step_is(self):
        def outer(way):
            calls = []

            def once(given):
                calls.append(given)
                if len(calls) % 2:
                    raise ConnectionError
                return given.value if isinstance(given, blazen.Event) else [given, len(calls)]

            options = {"input": as_in(way, once), "output": as_in(way, once), "retries": blazen.Retry(2)}
            return around(doubling(way), **options)

        def broken(_):
            raise ConnectionError("no line")

        for way in self.each_way():
            self.assertEqual(result(way, outer(way), 2), [4, 4])
            for name in ("input", "output"):
                error = self.failure(way, around(doubling(way), **{name: as_in(way, broken)}), 2)
                self.assertIsInstance(error.__cause__, ConnectionError)
                self.assertEqual(error.step, f"inner::{name}")
                del error

    def test_one_may_ask(self):
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.run(around(doubling(), input=lambda ctx, event: ctx.ask("how many?", request_id="n")))
            self.assertEqual([question["step"] for question in asked(run)], ["inner::input"])
            run.respond("n", 4)
            self.assertEqual(run.result(TIMEOUT_S), 8)
            del run, runtime

    def test_one_in_flight_is_asked_again_under_its_id(self):
        ids, held = [], []

        def later(ctx, event):
            ids.append(ctx.invocation_id)
            held.append(ctx.defer())

        with nothing_left(self), blazen.Runtime("pump") as runtime:
            workflow = around(doubling(), input=later)
            run = runtime.run(workflow)
            runtime.poll()
            again = runtime.resume(workflow, run.snapshot())
            run.close()
            again.start()
            runtime.poll()
            held[1].complete(7)
            self.assertEqual(again.result(TIMEOUT_S), 14)
            self.assertEqual(ids, [1, 1])
            held.clear()
            del run, again, runtime, workflow

    def test_what_is_awaited_in_vain_is_said(self):
        async def coroutine(event):
            return 1

        error = self.failure("pump", around(doubling(), input=lambda event: coroutine(event)))
        self.assertIn("a mapper answers with what it has awaited", str(error))


class FailuresTest(EveryWayTest):
    def test_its_failure_is_the_failure_of_the_step(self):
        for way in self.each_way():
            error = self.failure(way, around(failing(way)), 5)
            self.assertRegex(str(error), "step 'inner' failed: step 'only' failed: ValueError: no luck with 5")
            self.assertEqual((error.step, error.status), ("inner", blazen.Status.STEP_FAILED))
            self.assertIsInstance(error.__cause__, ValueError)
            del error

    def test_a_handler_takes_it(self):
        for way in self.each_way():
            workflow = around(failing(way))
            handler = lambda ctx, event: blazen.StopEvent(event.value["step"])  # noqa: E731
            workflow.step(name="handler", accepts=blazen.STEP_FAILED_EVENT)(as_in(way, handler))
            self.assertEqual(result(way, workflow, 5), "inner")
            del workflow

    def test_a_retry_begins_another_child(self):
        for way in self.each_way():
            ids = []

            def inner(ctx, event):
                ids.append(ctx.run_id)
                if len(ids) < 3:
                    raise ConnectionError
                return event.value

            self.assertEqual(result(way, around(ending(way, inner), retries=blazen.Retry(3)), 9), 9)
            self.assertEqual(len(set(ids)), 3)

    def test_an_interrupt_comes_out(self):
        def inner(ctx, event):
            raise KeyboardInterrupt

        for way in ("pump", "threads"):
            with self.subTest(way), nothing_left(self):
                with self.assertRaises(KeyboardInterrupt):
                    result(way, around(around(ending(way, inner))))

    def test_its_time_is_up(self):
        def later(ctx, event):
            ctx.emit(blazen.Event("Later"), delay=5)

        def inner(**options):
            workflow = blazen.Workflow("inner", **options)
            workflow.step(name="start", accepts=START)(later)
            workflow.step(name="later", accepts="Later")(lambda ctx, event: blazen.StopEvent())
            return workflow

        for workflow, status in (
            (around(inner(), timeout=1), blazen.Status.STEP_TIMEOUT),
            (around(inner(timeout=1)), blazen.Status.RUN_TIMEOUT),
        ):
            clock = blazen.Clock()
            with self.subTest(status), blazen.Runtime("pump", clock=clock) as runtime:
                run = runtime.run(workflow)
                runtime.poll()
                clock.advance(1.001)
                with self.assertRaises(blazen.BlazenError) as caught:
                    run.result(TIMEOUT_S)
                self.assertEqual((caught.exception.step, caught.exception.__cause__.status), ("inner", status))

    def test_one_that_stalls_fails_its_step(self):
        inner = blazen.Workflow("inner")
        inner.step(name="start", accepts=START)(lambda ctx, event: None)
        self.assertEqual(self.failure("pump", around(inner)).__cause__.status, blazen.Status.STALLED)


class SeveralTest(EveryWayTest):
    def test_all_of_them(self):
        for way in self.each_way():
            branches = {"right": ending(way, lambda ctx, event: f"r{event.value}"), "left": doubling(way)}
            found = result(way, several(branches), 3)
            self.assertEqual(list(found.items()), [("right", "r3"), ("left", 6)])
            del branches

    def test_none_are_done_at_once(self):
        for way in self.each_way():
            for strategy in blazen.JoinStrategy:
                self.assertEqual(result(way, several({}, join_strategy=strategy), 3), {})
                self.assertEqual(result(way, several({}, join_strategy=strategy, output=len), 3), 0)

    def test_the_first_that_fails_fails_all(self):
        for way in self.each_way():
            branches = {"good": doubling(way), "slow": asking(way), "bad": failing(way)}
            error = self.failure(way, several(branches), 3)
            self.assertRegex(str(error), r"step 'all' failed: step 'all\[bad\]' failed.*ValueError: no luck with 3")
            del error, branches

    def test_the_first_success_is_enough(self):
        for way in self.each_way():
            for strategy in (FIRST, "first_completes"):
                branches = {"slow": asking(way), "bad": failing(way), "good": doubling(way)}
                self.assertEqual(result(way, several(branches, join_strategy=strategy), 3), 6)
                output = as_in(way, lambda results: results)
                self.assertEqual(result(way, several(branches, join_strategy=strategy, output=output), 3), {"good": 6})
                del branches

    def test_where_all_fail_each_is_named(self):
        for way in self.each_way():
            error = self.failure(way, several({"one": failing(way), "two": failing(way)}, join_strategy=FIRST), 3)
            self.assertRegex(str(error), "all 2 branches of 'all' failed")
            self.assertEqual(sorted(error.detail), ["one", "two"])
            self.assertIn("no luck with 3", error.detail["one"]["message"])
            del error

    def test_each_branch_is_tried_again_by_itself(self):
        for way in self.each_way():
            calls = []

            def once(ctx, event):
                calls.append(event.value)
                if len(calls) == 1:
                    raise ConnectionError
                return len(calls)

            branches = {"flaky": ending(way, once), "good": doubling(way)}
            self.assertEqual(result(way, several(branches, retries=blazen.Retry(2)), 3), {"flaky": 2, "good": 6})
            del branches

    def test_an_output_gets_the_results_by_branch(self):
        def outer(way, output):
            branches = {"b": ending(way, lambda ctx, event: b"\0"), "a": ending(way, lambda ctx, event: nested.Stay("x"))}
            return several(branches, input=as_in(way, lambda event: -event.value), output=as_in(way, output))

        for way in self.each_way():
            expected = {"b": b"\0", "a": nested.Stay("x")}
            self.assertEqual(result(way, outer(way, lambda results: results), 3), expected)
            self.assertEqual(result(way, outer(way, lambda ctx, results: [ctx.step_name, *results]), 3), ["all", "b", "a"])
            bare = several({"first": ending(way, lambda ctx, event: b"\0")})
            error = self.failure(way, bare, 3)
            self.assertIn("the result of branch 'first' is BYTES", str(error))
            del error, bare

    def test_the_same_workflow_may_stand_in_each(self):
        for way in self.each_way():
            inner = doubling(way)
            self.assertEqual(result(way, several(dict.fromkeys("abc", inner)), 1), dict.fromkeys("abc", 2))
            del inner

    def test_a_branch_elsewhere(self):
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.run(several({"a": doubling(), "b": blazen.ELSEWHERE}), 3)
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.ELSEWHERE)
            self.assertEqual(run.elsewhere(), ["all[b]"])
            again = runtime.resume(several({"a": doubling(), "b": doubling()}), run.snapshot())
            again.start()
            self.assertEqual(again.result(TIMEOUT_S), {"a": 6, "b": 6})
            del run, again, runtime

    def test_a_mapper_elsewhere(self):
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.run(around(doubling(), input=blazen.ELSEWHERE), 3)
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.ELSEWHERE)
            self.assertEqual(run.elsewhere(), ["inner::input"])
            again = runtime.resume(around(doubling(), input=lambda event: event.value + 1), run.snapshot())
            again.start()
            self.assertEqual(again.result(TIMEOUT_S), 8)
            del run, again, runtime


class ControlTest(unittest.TestCase):
    """What a host does with a run that others are inside of."""

    def test_a_grandchilds_question_is_answered_through_the_top(self):
        for mode in ("pump", "threads"):
            with self.subTest(mode), nothing_left(self), blazen.Runtime(mode) as runtime:
                run = runtime.run(around(around(asking(), "leaf"), "middle"), 1)
                [question] = asked(run)
                self.assertEqual([host["step"] for host in question["path"]], ["middle", "leaf"])
                self.assertEqual(question["request_id"], question["path"][1]["run_id"] + "/q")
                self.assertEqual(question["step"], "middle#1/leaf#1/only")
                with self.assertRaises(blazen.BlazenError) as caught:
                    run.respond("q", "me")
                self.assertEqual(caught.exception.status, blazen.Status.NOT_FOUND)
                run.respond(question["request_id"], "me")
                self.assertEqual(run.result(TIMEOUT_S), "me")
                del run, runtime, caught

    def test_it_is_answered_early_or_withdrawn_there_too(self):
        inner = blazen.Workflow("inner", idle="wait")
        inner.step(name="start", accepts=START)(lambda ctx, event: None)
        ask = lambda ctx, event: blazen.StopEvent(ctx.ask("?", request_id="q"))  # noqa: E731
        inner.step(name="more", accepts="More")(ask)
        for is_early in (True, False):
            with self.subTest(is_early), blazen.Runtime("pump") as runtime:
                run = runtime.run(around(inner, workflow={"idle": "wait"}))
                run.wait(TIMEOUT_S, [blazen.RunState.WAITING])
                child = run.child(run.describe()["children"][0]["run"]["run_id"])
                if is_early:
                    run.respond_early(child.id + "/q", "early")
                child.send_event(blazen.Event("More"))
                if is_early:
                    self.assertEqual(run.result(TIMEOUT_S), "early")
                    continue
                asked(run)
                run.withdraw_question(child.id + "/q")
                with self.assertRaisesRegex(blazen.BlazenError, "the question 'q' was withdrawn") as caught:
                    run.result(TIMEOUT_S)
                self.assertEqual(caught.exception.__cause__.status, blazen.Status.CANCELLED)

    def test_the_input_handler_of_the_top_gets_them(self):
        requests = []

        def handler(request):
            requests.append(request)
            return "handler"

        with nothing_left(self), blazen.Runtime() as runtime:
            run = runtime.run(around(asking()), 1, input_handler=handler)
            self.assertEqual(run.result(TIMEOUT_S), "handler")
            [request] = requests
            self.assertEqual(request.correlation, request.value["request_id"])
            self.assertEqual(request.correlation, request.child_run_id + "/q")
            self.assertEqual([host["step"] for host in request.path], ["inner"])
            del run, runtime

    def test_items_stand_on_the_stream_of_the_top_with_their_path(self):
        inner = ending("pump", lambda ctx, event: ctx.publish(blazen.Event("News", event.value)))
        workflow = blazen.Workflow("outer")

        @workflow.step(accepts=START)
        def start(ctx, event):
            ctx.publish(blazen.Event("News", 0))
            return blazen.Event("Part", 1)

        workflow.subworkflow("in/ner", inner, accepts="Part", emits=STOP)
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.create(workflow)
            streams = run.stream(), run.stream(own_level=True), run.subscribe(own_level=True, types=["News"])
            run.start()
            run.result(TIMEOUT_S)
            [whole, own, news] = map(list, streams)
            self.assertEqual([item.value for item in whole], [0, 1])
            self.assertEqual([item.value for item in own], [item.value for item in news])
            self.assertEqual([(item.value, item.path, item.child_run_id) for item in own], [(0, (), None)])
            item = whole[1]
            self.assertEqual(item.source, "in~1ner#2/only")
            self.assertEqual(item.path, ({"step": "in/ner", "invocation_id": 2, "run_id": item.child_run_id},))
            with self.assertRaisesRegex(TypeError, "own_level is True or False"):
                run.stream(own_level=1)
            del run, runtime, streams, whole, own, news

    def test_who_listens_hears_of_their_steps(self):
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.create(several({"a": doubling()}))
            with run.subscribe(lifecycle=True, types=[blazen.LIFECYCLE]) as stream:
                run.start(1)
                run.result(TIMEOUT_S)
                kinds = [item.value["kind"] for item in stream if item.path and item.path[0]["branch"] == "a"]
            self.assertEqual(kinds, ["event_routed", "step_started", "step_completed", "event_routed"])
            del run, runtime, stream

    def test_a_run_inside_is_looked_at(self):
        inner = blazen.Workflow("inner", idle="wait")
        inner.step(name="start", accepts=START)(lambda ctx, event: ctx.state.update(key=[1], other=event.value))
        inner.step(name="more", accepts="More")(lambda ctx, event: blazen.StopEvent([ctx.state["key"], event.value]))
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.run(around(inner, workflow={"idle": "wait"}), "in")
            run.wait(TIMEOUT_S, [blazen.RunState.WAITING])
            [hosted] = run.describe()["children"]
            self.assertEqual((hosted["step"], hosted["invocation_id"]), ("inner", 1))
            child = run.child(hosted["run"]["run_id"])
            self.assertEqual(run.child(uuid.UUID(child.id)).id, child.id)
            self.assertEqual((child.state, child.describe()["workflow"]), (blazen.RunState.WAITING, "inner"))
            self.assertEqual(dict(child.values), {"key": [1], "other": "in"})
            child.values["key"] = [2]
            with self.assertRaises(blazen.BlazenError) as caught:
                child.result()
            self.assertEqual(caught.exception.status, blazen.Status.WRONG_STATE)
            child.send_event(blazen.Event("More", 7))
            self.assertEqual(run.result(TIMEOUT_S), [[2], 7])
            self.assertEqual((child.state, child.result()), (blazen.RunState.COMPLETED, [[2], 7]))
            self.assertEqual(child.stored_result().data, b"[[2],7]")
            for run_id, kind, message in (
                (child.id, blazen.BlazenError, "it has ended, or never was"),
                ("no uuid", blazen.BlazenError, "child_run_id is no UUID"),
                (5, TypeError, "run_id is a str"),
            ):
                with self.subTest(run_id=run_id), self.assertRaisesRegex(kind, message):
                    run.child(run_id)
            del run, child, runtime, caught

    def test_its_exception_is_found_through_its_handle(self):
        """Also where the step of the run around it goes on without it."""
        held = []

        def inner(ctx, event):
            held.append(ctx.defer())

        with nothing_left(self), blazen.Runtime("pump") as runtime:
            workflow = around(ending("pump", inner))
            workflow.step(name="handler", accepts=blazen.STEP_FAILED_EVENT)(lambda ctx, event: blazen.StopEvent("handled"))
            run = runtime.run(workflow)
            runtime.poll()
            child = run.child(run.describe()["children"][0]["run"]["run_id"])
            failure = ValueError("no")
            held.pop().fail(failure)
            self.assertEqual(run.result(TIMEOUT_S), "handled")
            with self.assertRaises(blazen.BlazenError) as caught:
                child.result()
            self.assertIs(caught.exception.__cause__, failure)
            del run, child, runtime, workflow, caught, failure

    def test_one_of_its_invocations_is_cancelled_or_all_of_it(self):
        told, held = [], []

        def hold(ctx, event):
            ctx.on_cancel(lambda: told.append(ctx.run_id))
            held.append(ctx.defer())

        for whole in (False, True):
            with self.subTest(whole), nothing_left(self), blazen.Runtime("pump") as runtime:
                workflow = around(ending("pump", hold))
                handler = lambda ctx, event: blazen.StopEvent(event.value["status"])  # noqa: E731
                workflow.step(name="handler", accepts=blazen.STEP_FAILED_EVENT)(handler)
                run = runtime.run(workflow)
                runtime.poll()
                child = run.child(run.describe()["children"][0]["run"]["run_id"])
                (run if whole else child).cancel_invocation(1)
                status = "BLAZEN_ERROR_CANCELLED" if whole else "BLAZEN_ERROR_STEP_FAILED"
                self.assertEqual(run.result(TIMEOUT_S), status)
                self.assertEqual(told, [child.id])
                told.clear()
                held.clear()
                del run, child, runtime, workflow

    def test_a_pause_is_of_the_whole_tree(self):
        ticks = []

        def tick(ctx, event):
            ticks.append(ctx.run_id)
            if len(ticks) == 3:
                runs[0].pause(drain=True)
            return blazen.Event("Tick") if len(ticks) < 6 else blazen.StopEvent(len(ticks))

        runs = []
        inner = blazen.Workflow("inner")
        inner.step(accepts=[START, "Tick"])(tick)
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            runs.append(runtime.create(around(inner)))
            runs[0].start()
            self.assertEqual(runs[0].wait(TIMEOUT_S, [blazen.RunState.PAUSED]), blazen.RunState.PAUSED)
            self.assertEqual(runs[0].describe()["children"][0]["run"]["status"], "paused")
            self.assertEqual(len(ticks), 3)
            runs[0].resume_in_place()
            self.assertEqual(runs.pop().result(TIMEOUT_S), 6)
            del runtime


class SnapshotsTest(unittest.TestCase):
    def leave_for(self, path, run):
        snapshot = run.snapshot()
        path.write_bytes(snapshot)
        info = blazen.snapshot_info(snapshot)
        self.assertEqual((info["children"], info["inside"]["questions"]), (3, len(run.questions())))
        return run_python(Path(nested.__file__), path)

    def test_a_fresh_process_goes_on_in_the_middle_of_a_child(self):
        result = {"north": ["Oslo", 1], "south": ["Oslo", 2]}
        with blazen.Runtime(mode="pump") as runtime, tempfile.TemporaryDirectory() as folder:
            run = runtime.run(nested.trip(), {"city": "Oslo"})
            self.assertEqual(len(asked(run)), 2)
            self.assertEqual(self.leave_for(Path(folder) / "snapshot", run), f"{run.id} {result}\n")

    def test_four_processes_share_a_workflow_elsewhere_and_a_step_elsewhere_inside_it(self):
        with blazen.Runtime(mode="pump") as runtime, tempfile.TemporaryDirectory() as folder:
            snapshots = [Path(folder) / f"{number}.snapshot" for number in range(1, 4)]
            run = runtime.run(nested.trip(has_tour=False), {"city": "Oslo"})
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.ELSEWHERE)
            self.assertEqual(run.elsewhere(), ["tour"])
            snapshots[0].write_bytes(run.snapshot())
            inside = ["tour/visits[north]/lodge", "tour/visits[south]/lodge"]
            self.assertEqual(run_python(nested.__file__, "inside", *snapshots[:2]), f"{inside}\n")
            self.assertEqual(run_python(nested.__file__, "outside", *snapshots[1:]), "['tour']\n")
            kept = [blazen.snapshot_info(path.read_bytes()) for path in snapshots[1:]]
            self.assertEqual([info["children"] for info in kept], [3, 3])
            self.assertEqual(*[info["inside"] for info in kept])
            result = {"north": ["Oslo", 1], "south": ["Oslo", 2]}
            self.assertEqual(run_python(nested.__file__, snapshots[2]), f"{run.id} {result}\n")
            del run, runtime

    def test_a_step_elsewhere_inside_is_named_with_its_path(self):
        result = {"north": ["Rome", 1], "south": ["Rome", 2]}
        with blazen.Runtime(mode="pump") as runtime, tempfile.TemporaryDirectory() as folder:
            run = runtime.run(nested.trip(is_here=False), {"city": "Rome"})
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.ELSEWHERE)
            self.assertEqual(sorted(run.elsewhere()), ["tour/visits[north]/lodge", "tour/visits[south]/lodge"])
            self.assertEqual(self.leave_for(Path(folder) / "snapshot", run), f"{run.id} {result}\n")

    def test_a_workflow_in_another_process_is_a_step_elsewhere(self):
        """Where it is not, a run of it is kept as it came."""

        def outer(is_here):
            workflow = blazen.Workflow("outer")
            workflow.step(name="start", accepts=START)(lambda ctx, event: blazen.Event("Part", 5))
            if is_here:
                workflow.subworkflow("inner", asking(), accepts="Part")
            else:
                workflow.elsewhere("inner", accepts="Part")
            end = lambda ctx, event: blazen.StopEvent([event.value])  # noqa: E731
            workflow.step(name="end", accepts="inner::output")(end)
            return workflow

        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(outer(is_here=False))
            states = [blazen.RunState.ELSEWHERE, ASKING, blazen.RunState.ELSEWHERE]
            for is_here in (True, False, True):
                self.assertEqual(run.wait(TIMEOUT_S, [blazen.RunState.ELSEWHERE, ASKING]), states.pop())
                snapshot = run.snapshot()
                run.close()
                run = runtime.resume(outer(is_here), snapshot)
                run.start()
                [question] = asked(run) if is_here else run.questions()
                self.assertEqual(question["step"], "inner#2/only")
            run.respond(question["request_id"], 9)
            self.assertEqual(run.result(TIMEOUT_S), [9])
            del run, runtime

    def test_the_same_point_gives_the_same_bytes(self):
        with nothing_left(self), blazen.Runtime(mode="pump", clock=blazen.Clock()) as runtime:
            run = runtime.run(nested.trip(), {"city": "Oslo"})
            first = asked(run)
            again = runtime.resume(nested.trip(), run.snapshot())
            again.start()
            self.assertEqual([each["request_id"] for each in asked(again)], [each["request_id"] for each in first])
            self.assertEqual(again.snapshot(), run.snapshot())
            fork = runtime.resume(nested.trip(), run.snapshot(), fork=True)
            fork.start()
            self.assertNotIn(first[0]["request_id"], [each["request_id"] for each in asked(fork)])
            del run, again, fork, runtime

    def test_a_child_that_no_longer_fits_is_named(self):
        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(around(around(asking(), "leaf"), "middle"))
            asked(run)
            changed = asking()
            changed.step(name="new", accepts="New")(lambda ctx, event: None)
            with self.assertRaisesRegex(blazen.BlazenError, "inside step 'middle', invocation 1: inside step") as caught:
                runtime.resume(around(around(changed, "leaf"), "middle"), run.snapshot())
            self.assertEqual(caught.exception.status, blazen.Status.SNAPSHOT_MISMATCH)
            del run, changed, runtime, caught

    def test_what_does_not_pickle_inside_is_named_with_its_path(self):
        def inner(ctx, event):
            ctx.session["lock"] = threading.Lock()
            return ctx.ask("?", request_id="q")

        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(around(ending("pump", inner)))
            asked(run)
            with self.assertRaisesRegex(blazen.BlazenError, "inner#1: session 'lock'") as caught:
                run.snapshot()
            self.assertEqual(caught.exception.status, blazen.Status.NOT_SERIALIZABLE)
            del run, runtime, caught


class AioTest(QuietTest):
    def test_a_grandchilds_question_is_awaited_inside_and_answered_on_the_stream(self):
        async def test(runtime):
            run = runtime.create(around(around(asking("asyncio"), "leaf"), "middle"))
            stream = run.stream()
            run.start("that")
            async for item in stream:
                if item.type == blazen.INPUT_REQUEST_EVENT:
                    self.assertEqual([host["step"] for host in item.path], ["middle", "leaf"])
                    self.assertEqual(run.child(item.child_run_id).state, ASKING)
                    run.respond(item.correlation, "me")
            self.assertEqual(await run, "me")

        self.run_quietly(test)

    def test_an_input_handler_that_is_a_coroutine(self):
        async def handler(request):
            await asyncio.sleep(0)
            return request.value["prompt"]

        async def test(runtime):
            self.assertEqual(await runtime.run(around(asking("asyncio")), "that", input_handler=handler), "who is that?")
            self.assertEqual(await runtime.run(around(asking()), "this", input_handler=handler), "who is this?")

        self.run_quietly(test)

    def test_who_loses_is_cancelled(self):
        cancelled = []

        def slow():
            workflow = blazen.Workflow("slow")

            @workflow.step(accepts=START)
            async def wait(ctx, event):
                try:
                    await never()
                except asyncio.CancelledError:
                    cancelled.append(ctx.workflow_name)
                    raise

            return workflow

        async def test(runtime):
            branches = {"slow": around(slow()), "good": doubling("asyncio")}
            self.assertEqual(await runtime.run(several(branches, join_strategy=FIRST), 2), 4)

        self.run_quietly(test)
        self.assertEqual(cancelled, ["slow"])

    def test_an_abort_ends_what_is_inside(self):
        happened = []

        def held():
            workflow = blazen.Workflow("held")

            @workflow.step(accepts=START)
            async def hold(ctx, event):
                happened.append("begun")
                try:
                    await never()
                finally:
                    happened.append(ctx.is_cancelled)

            return workflow

        async def test(runtime):
            run = runtime.run(several({"a": around(held()), "b": held()}))
            while len(happened) < 2:
                await asyncio.sleep(0)
            await run.abort()
            self.assertEqual(happened, ["begun"] * 2 + [True] * 2)
            self.assertEqual(run.state, blazen.RunState.CANCELLED)

        self.run_quietly(test)

    def test_a_mapper_under_way_is_cancelled_with_its_run(self):
        happened = []

        async def input(event):
            happened.append("begun")
            try:
                await never()
            finally:
                happened.append("over")

        async def test(runtime):
            async with runtime.run(around(doubling("asyncio"), input=input)):
                while not happened:
                    await asyncio.sleep(0)

        self.run_quietly(test)
        self.assertEqual(happened, ["begun", "over"])

    def test_own_level(self):
        async def test(runtime):
            news = ending("asyncio", lambda ctx, event: ctx.publish(blazen.Event("News")))
            run = runtime.create(around(news))
            streams = run.stream(), run.subscribe(own_level=True)
            run.start()
            self.assertEqual([[item.type async for item in stream] for stream in streams], [["News"], []])

        self.run_quietly(test)


class DescriptionTest(unittest.TestCase):
    def test_it_says_which_workflows_are_steps(self):
        inner = doubling()
        workflow = around(inner, input=lambda event: event.value)
        described = workflow.describe()
        parts = [(step["name"], step["part"], step["part_of"]) for step in described["steps"]]
        self.assertEqual(parts, [("inner::input", "input", "inner"), ("inner", "child", None)])
        self.assertEqual([child["name"] for child in described["children"]], ["inner"])
        self.assertEqual(described["children"][0]["fingerprint"], inner.fingerprint)
        self.assertIn("inner", workflow.draw())

    def test_the_limits_are_in_it(self):
        described = around(doubling(), workflow={"limits": {"child_depth": 5, "children": 6}}).describe()
        self.assertEqual((described["limits"]["child_depth"], described["limits"]["children"]), (5, 6))


class BadInputTest(unittest.TestCase):
    def test_of_one(self):
        with nothing_left(self):
            for options, kind, message in (
                ({"inner": "inner"}, TypeError, "inner is a Workflow, or None: the one that is being built, not 'inner'"),
                ({"inner": blazen.ELSEWHERE}, TypeError, "inner is a Workflow.*not blazen.ELSEWHERE"),
                ({"inner": blazen.Workflow("empty")}, blazen.BlazenError, "without a step|has no step|no steps"),
                ({"name": ""}, blazen.BlazenError, "name"),
                ({"name": None}, TypeError, "name is a str"),
                ({"name": "x" * 1000}, blazen.BlazenError, "of a step that is a workflow"),
                ({"accepts": []}, ValueError, "accepts names no event type"),
                ({"accepts": None}, TypeError, "accepts is a str or a list of str"),
                ({"emits": ["A", "B"]}, ValueError, r"emits is one event type.*\['A', 'B'\]"),
                ({"emits": 5}, TypeError, "emits is a str or a list of str"),
                ({"emits": ""}, blazen.BlazenError, "options.output_type"),
                ({"input": 5}, TypeError, "input is a function, or blazen.ELSEWHERE, not 5"),
                ({"input": lambda: 1}, TypeError, r"input is a function of one argument, or of \(ctx, that\)"),
                ({"output": lambda a, b, c: 1}, TypeError, r"output is a function of one argument"),
                ({"output": lambda result, *, key: 1}, TypeError, r"output is a function of one argument"),
                ({"output": "text", "input": lambda event: 1}, TypeError, "output is a function"),
                ({"timeout": -1}, ValueError, "timeout is a number of seconds"),
                ({"retries": 3}, TypeError, "retries is a Retry"),
                ({"max_concurrency": "2"}, TypeError, "max_concurrency is an int"),
                ({"joins": 5}, TypeError, "joins is a Join"),
                ({"atomic": True}, TypeError, "atomic"),
                ({"pool": "gpu"}, TypeError, "pool"),
            ):
                given = {"name": "inner", "inner": doubling(), "accepts": START, **options}
                with self.subTest(**options), self.assertRaisesRegex(kind, message):
                    blazen.Workflow("outer").subworkflow(given.pop("name"), given.pop("inner"), **given)
                del given, options

    def test_of_several(self):
        with nothing_left(self):
            for branches, options, kind, message in (
                (["a"], {}, TypeError, "branches is a dict of workflows"),
                ({"a": 5}, {}, TypeError, r"branches\['a'\] is a Workflow"),
                ({5: None}, {}, TypeError, "the name of a branch is a str"),
                ({"": None}, {}, blazen.BlazenError, r"branches\[0\]\.name"),
                ({}, {"join_strategy": "most"}, ValueError, "is a JoinStrategy, or one of 'wait_all', 'first_completes'"),
                ({}, {"join_strategy": None}, ValueError, "join_strategy is a JoinStrategy"),
                ({}, {"output": 5}, TypeError, "output is a function"),
            ):
                with self.subTest(branches=branches, **options), self.assertRaisesRegex(kind, message):
                    several(branches, **options)

    def test_by_the_names_of_other_languages(self):
        for specs, workflows, kind, message in (
            (["a", "b"], [None], ValueError, "branch_specs names 2 branches, and branch_workflows has 1"),
            ([5], [None], TypeError, "branch_specs has names, or what has a name, not 5"),
            ([{"id": "a"}], [None], TypeError, "branch_specs has names"),
        ):
            with self.subTest(specs=specs), self.assertRaisesRegex(kind, message):
                blazen.Workflow("outer").add_parallel_subworkflows("both", START, STOP, specs, workflows)
        workflow = blazen.Workflow("outer")
        workflow.add_parallel_subworkflows("both", START, STOP, ["a", "a"], [doubling(), doubling()])
        with self.assertRaisesRegex(blazen.BlazenError, "two branches of step 'both' are named 'a'"):
            workflow.build()

    def test_only_a_mapper_answers(self):
        from blazen import _make
        from blazen._calls import lib

        def answer(ctx, event):
            with _make.value(1) as made:
                lib.context_answer(ctx.pointer, made)

        with self.assertRaisesRegex(blazen.BlazenError, "only a decision of the host's answers"):
            result_of(ending("pump", answer), mode="pump")


if __name__ == "__main__":
    unittest.main()
