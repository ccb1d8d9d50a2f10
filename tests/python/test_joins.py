"""Joins and collect: in every mode, with functions and with coroutines; what becomes of children, of late ones, and of bad
input."""

import asyncio
import functools
import threading
import unittest

from support import TIMEOUT_S, blazen, needs_threads, nothing_left, result_of

START, STOP = blazen.START_EVENT, blazen.StopEvent
WAYS = ("pump", "threads", "asyncio")
COMPLETE, CONDITION, SHORT, DEADLINE = list(blazen.JoinReason)[1:]


class Steps:
    """A workflow whose steps are functions, or the same as coroutines."""

    def __init__(self, way="pump", **options):
        self.way = way
        self.workflow = blazen.Workflow("joins", **options)

    def add(self, name, accepts, function, **options):
        @functools.wraps(function)
        async def coroutine(ctx, event):
            await asyncio.sleep(0)
            return function(ctx, event)

        body = coroutine if self.way == "asyncio" else function
        self.workflow.step(name=name, accepts=accepts, **options)(body)
        return self

    def result(self, input=None):
        """The result of a run; nothing is left of the workflow then."""
        workflow, self.workflow = self.workflow, None
        if self.way != "asyncio":
            return result_of(workflow, input, mode=self.way)

        async def main():
            async with blazen.aio.Runtime() as runtime:
                return await asyncio.wait_for(runtime.run(workflow, input).result(), TIMEOUT_S)

        return asyncio.run(main())


def events(kind, values):
    return [blazen.Event(kind, value) for value in values]


def values(ctx):
    return [event.value for event in ctx.events]


def fan(width, work, joins, gather=None, way="pump"):
    """Start fans out into `width` parts; the join answers what has arrived, sorted, and why it was called."""
    steps = Steps(way)
    steps.add("start", START, lambda ctx, event: events("Part", range(width)))
    steps.add("work", "Part", work)
    steps.add("gather", "Done", gather or (lambda ctx, event: STOP([sorted(values(ctx)), *ctx.joined])), joins=joins)
    return steps


def done(ctx, event):
    return blazen.Event("Done", event.value)


class JoinsTest(unittest.TestCase):
    def each_way(self):
        for way in WAYS:
            with self.subTest(way), nothing_left(self):
                yield way

    def test_a_join_is_called_once_with_all_that_came(self):
        for way in self.each_way():
            self.assertEqual(fan(20, done, "start", way=way).result(), [list(range(20)), COMPLETE, 20, None, 1])

    def test_whatever_becomes_of_the_children(self):
        def work(ctx, event):
            if event.value == 0:
                return None
            if event.value == 1:
                return events("Done", [10, 11, 12])
            if event.value == 2 and ctx.attempt == 1:
                raise ConnectionError
            if event.value == 3:
                raise ValueError("for good")
            return done(ctx, event)

        for way in self.each_way():
            steps = Steps(way)
            steps.add("start", START, lambda ctx, event: events("Part", range(5)))
            steps.add("work", "Part", work, retries=blazen.Retry(2))
            steps.add("mend", blazen.STEP_FAILED_EVENT, lambda ctx, event: blazen.Event("Done", -1))
            steps.add("gather", "Done", lambda ctx, event: STOP(sorted(values(ctx))), joins=blazen.Join("start"))
            self.assertEqual(steps.result(), [-1, 2, 4, 10, 11, 12])

    def test_the_event_of_a_join_is_the_last_that_arrived(self):
        for way in self.each_way():
            gather = lambda ctx, event: STOP([event.type, event.value == ctx.events[-1].value, event.id > 0])  # noqa: E731
            self.assertEqual(fan(3, done, "start", gather, way).result(), ["Done", True, True])

    def test_an_empty_one_is_called_too_unless_it_is_skipped(self):
        gather = lambda ctx, event: STOP([event.type, event.value, ctx.events, ctx.joined.arrived])  # noqa: E731
        for way in self.each_way():
            self.assertEqual(fan(0, done, "start", gather, way).result(), [blazen.EMPTY_JOIN_EVENT, None, [], 0])
            with self.assertRaises(blazen.BlazenError) as caught:
                fan(0, done, blazen.Join("start", empty="skip"), gather, way).result()
            self.assertEqual(caught.exception.status, blazen.Status.STALLED)
            del caught

    def test_the_first_and_the_first_few(self):
        for way in self.each_way():
            for join, reason, arrived, wanted in (
                (blazen.Join("start", "any"), CONDITION, 1, 1),
                (blazen.Join("start", "first_n", 3), CONDITION, 3, 3),
                (blazen.Join("start", "first_n", n=9), SHORT, 5, 9),
            ):
                found, *why = fan(5, done, join, way=way).result()
                self.assertEqual((len(found), why), (arrived, [reason, arrived, wanted, 1]))

    def test_in_the_order_of_what_the_opener_returned(self):
        def work(ctx, event):  # the later, the sooner
            part, further = event.value
            return blazen.Event("Part", [part, further - 1]) if further else blazen.Event("Done", part)

        join = blazen.Join("start", ordered=True)
        for way in self.each_way():
            steps = Steps(way)
            steps.add("start", START, lambda ctx, event: events("Part", [[part, 9 - part] for part in range(5)]))
            steps.add("work", "Part", work)
            steps.add("gather", "Done", lambda ctx, event: STOP(values(ctx)), joins=join)
            self.assertEqual(steps.result(), [0, 1, 2, 3, 4])

    def test_one_call_for_each_correlation(self):
        def work(ctx, event):
            return blazen.Event("Done", event.value, correlation="even odd".split()[event.value % 2])

        join = blazen.Join("open", correlation="by_event")
        for way in self.each_way():
            steps = Steps(way)
            steps.add("start", START, lambda ctx, event: blazen.Event("Open"))
            steps.add("open", "Open", lambda ctx, event: events("Part", range(6)))
            steps.add("work", "Part", work)
            gather = lambda ctx, event: blazen.Event("Group", [event.correlation, *sorted(values(ctx))])  # noqa: E731
            steps.add("gather", "Done", gather, joins=join)
            steps.add("end", "Group", lambda ctx, event: STOP(sorted(values(ctx))), joins="start")
            self.assertEqual(steps.result(), [["even", 0, 2, 4], ["odd", 1, 3, 5]])

    def test_scopes_within_scopes(self):
        for way in self.each_way():
            scopes = set()

            def page(ctx, event):
                scopes.add(ctx.scope_id)
                return blazen.Event("Read", event.value)

            steps = Steps(way)
            steps.add("book", START, lambda ctx, event: events("Chapter", range(4)))
            steps.add("chapter", "Chapter", lambda ctx, event: events("Page", range(event.value)))
            steps.add("page", "Page", page)
            steps.add("read", "Read", lambda ctx, event: blazen.Event("Summary", len(ctx.events)), joins="chapter")
            steps.add("end", "Summary", lambda ctx, event: STOP([sorted(values(ctx)), ctx.scope_id]), joins="book")
            self.assertEqual(steps.result(), [[0, 1, 2, 3], 0])
            self.assertEqual(len(scopes), 3)
            self.assertNotIn(0, scopes)

    def test_a_step_that_is_no_join_has_one_event(self):
        for way in self.each_way():
            steps = Steps(way)
            steps.add("only", START, lambda ctx, event: STOP([ctx.joined, values(ctx), ctx.scope_id]))
            self.assertEqual(steps.result(7), [None, [7], 0])

    @needs_threads
    def test_the_rest_is_cancelled(self):
        told, door = [], threading.Event()

        def work(ctx, event):
            if event.value == 0:
                door.wait(TIMEOUT_S)
                return done(ctx, event)
            ctx.on_cancel(lambda: told.append(event.value))
            held.append(ctx.defer())
            if len(held) == 3:
                door.set()

        join, held = blazen.Join("start", "any", cancel_rest=True), []
        with nothing_left(self), blazen.Runtime(threads=2) as runtime:
            gather = lambda ctx, event: blazen.Event("Later")  # noqa: E731
            steps = fan(4, work, join, gather)
            steps.add("later", "Later", lambda ctx, event: STOP(sorted(told)))
            self.assertEqual(runtime.run(steps.workflow).result(TIMEOUT_S), [1, 2, 3])
            with self.assertRaises(blazen.BlazenError):
                held[0].complete()
            held.clear()
            del runtime, steps

    def test_coroutines_of_the_rest_are_cancelled(self):
        cancelled = []

        async def main():
            workflow = blazen.Workflow("race")
            workflow.step(name="start", accepts=START)(lambda ctx, event: events("Part", range(3)))

            @workflow.step(accepts="Part")
            async def work(ctx, event):
                try:
                    await asyncio.sleep(0 if event.value == 2 else TIMEOUT_S)
                except asyncio.CancelledError:
                    cancelled.append(event.value)
                    raise
                return blazen.Event("Done", event.value)

            @workflow.step(accepts="Done", joins=blazen.Join("start", "any", cancel_rest=True))
            async def gather(ctx, event):
                await asyncio.sleep(0)
                return STOP(event.value)

            async with blazen.aio.Runtime() as runtime:
                return await asyncio.wait_for(runtime.run(workflow).result(), TIMEOUT_S)

        with nothing_left(self):
            self.assertEqual(asyncio.run(main()), 2)
        self.assertEqual(sorted(cancelled), [0, 1])

    def test_a_deadline_gives_what_has_come_or_fails(self):
        def work(ctx, event):
            if event.value == 0:
                return done(ctx, event)
            held.append(ctx.defer())

        for at_deadline in ("give", "fail"):
            clock, held = blazen.Clock(), []
            with self.subTest(at_deadline), nothing_left(self):
                with blazen.Runtime(mode="pump", clock=clock) as runtime:
                    steps = fan(3, work, blazen.Join("start", deadline=60, at_deadline=at_deadline))
                    run = runtime.run(steps.workflow)
                    self.assertEqual(runtime.poll_next(), (4, 60))
                    clock.advance(59.999)
                    self.assertEqual(runtime.poll_next(), (0, 0.001))
                    clock.advance(0.001)
                    if at_deadline == "give":
                        self.assertEqual(run.result(TIMEOUT_S), [[0], DEADLINE, 1, None, 1])
                    else:
                        with self.assertRaisesRegex(blazen.BlazenError, "scope 1 of step 'start'") as caught:
                            run.result(TIMEOUT_S)
                        self.assertEqual(caught.exception.status, blazen.Status.STEP_TIMEOUT)
                        self.assertEqual(caught.exception.step, "gather")
                        del caught
                    del run, runtime, steps
                held.clear()

    def test_what_comes_late_is_said(self):
        steps = fan(3, done, blazen.Join("start", "any"), lambda ctx, event: ctx.emit(blazen.Event("End"), delay=1))
        steps.add("end", "End", lambda ctx, event: STOP())
        clock = blazen.Clock()
        with blazen.Runtime(mode="pump", clock=clock) as runtime:
            run = runtime.create(steps.workflow)
            with run.subscribe(types=[blazen.LIFECYCLE], lifecycle=True) as stream:
                run.start()
                runtime.poll()
                clock.advance(1)
                run.result(TIMEOUT_S)
                late = [item.value for item in stream if item.value["kind"] == "late"]
        self.assertEqual([(item["step_name"], item["event_type"], item["scope_id"]) for item in late],
                         [("gather", "Done", 1)] * 2)

    def test_from_outside_into_a_scope(self):
        scopes, held = [], []

        def work(ctx, event):
            scopes.append(ctx.scope_id)
            held.append(ctx.defer())

        with nothing_left(self), blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(fan(1, work, "start").workflow)
            runtime.poll()
            for scope in (0, 99):
                with self.assertRaisesRegex(blazen.BlazenError, "scope") as caught:
                    run.send_event(blazen.Event("Done", 8), scope=scope)
                self.assertEqual(caught.exception.status, blazen.Status.NOT_FOUND)
            del caught
            run.send_event(blazen.Event("Done", 8), scope=scopes[0])
            held.pop().complete(blazen.Event("Done", 9))
            self.assertEqual(run.result(TIMEOUT_S), [[8, 9], COMPLETE, 2, None, 1])
            del run, runtime

    def test_a_scope_outlives_its_process(self):
        """Half of the children are done here; the join is called there, with what arrived in both."""

        def build(work, gather):
            steps = Steps()
            steps.add("start", START, lambda ctx, event: events("Part", range(4)))
            steps.add("work", "Part", work, max_concurrency=1)
            join = {"accepts": "Done", "joins": blazen.Join("start", ordered=True)}
            if gather is None:
                steps.workflow.elsewhere("gather", **join)
            else:
                steps.workflow.step(name="gather", **join)(gather)
            return steps.workflow

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(build(done, None))
            runtime.poll(3)
            snapshot = run.snapshot()
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.resume(build(done, lambda ctx, event: STOP(values(ctx))), snapshot)
            run.start()
            self.assertEqual(run.result(TIMEOUT_S), [0, 1, 2, 3])

    def test_limits(self):
        for limit, name in (("scopes", "BLAZEN_LIMIT_SCOPES"), ("scope_depth", "BLAZEN_LIMIT_SCOPE_DEPTH")):
            steps = Steps(limits={limit: 1})
            steps.add("start", START, lambda ctx, event: events("Open", range(2)))
            steps.add("open", "Open", lambda ctx, event: blazen.Event("Part"))
            steps.add("work", "Part", done)
            steps.add("gather", "Done", lambda ctx, event: blazen.Event("Group"), joins="open")
            steps.add("end", "Group", lambda ctx, event: STOP(), joins="start")
            with self.subTest(limit), self.assertRaisesRegex(blazen.BlazenError, name):
                steps.result()

    def test_what_can_never_work_is_refused(self):
        nothing = lambda ctx, event: None  # noqa: E731
        for accepts, joins, message in (
            ("Done", "nobody", "step 'nobody', which was not added"),
            ("Done", "gather", "joins itself"),
            (START, "start", "accepts blazen::StartEvent"),
        ):
            steps = Steps().add("start", START, nothing).add("gather", accepts, nothing, joins=joins)
            with self.subTest(joins), self.assertRaisesRegex(blazen.BlazenError, message) as caught:
                steps.workflow.build()
            self.assertEqual(caught.exception.status, blazen.Status.INVALID_WORKFLOW)

    def test_bad_options(self):
        with nothing_left(self):
            for options, kind, message in (
                ({"mode": "first_n"}, blazen.BlazenError, r"options\.n is 0"),
                ({"n": 2}, blazen.BlazenError, r"options\.n"),
                ({"at_deadline": "fail"}, blazen.BlazenError, r"options\.deadline_ms is 0"),
                ({"cancel_rest": True, "correlation": "by_event"}, blazen.BlazenError, r"options\.cancel_rest"),
                ({"of": ""}, blazen.BlazenError, r"options\.of"),
                ({"of": None}, TypeError, r"joins\.of is a str"),
                ({"mode": "most"}, ValueError, r"joins\.mode is one of 'all', 'any', 'first_n', not 'most'"),
                ({"n": -1}, ValueError, r"joins\.n is from 0"),
                ({"deadline": 0}, ValueError, r"joins\.deadline is more than 0"),
                ({"deadline": -1}, ValueError, r"joins\.deadline is a number of seconds"),
                ({"ordered": 1}, TypeError, r"joins\.ordered is True or False"),
                ({"empty": "maybe"}, ValueError, r"joins\.empty"),
                ({"correlation": None}, ValueError, r"joins\.correlation"),
                ({"at_deadline": "stop"}, ValueError, r"joins\.at_deadline"),
            ):
                with self.subTest(**options), self.assertRaisesRegex(kind, message) as caught:
                    Steps().add("gather", "Done", done, joins=blazen.Join(**{"of": "start", **options}))
                if kind is blazen.BlazenError:
                    self.assertEqual(caught.exception.status, blazen.Status.INVALID_ARGUMENT)
            with self.assertRaisesRegex(TypeError, "joins is a Join"):
                Steps().add("gather", "Done", done, joins=["start"])
            del caught


class CollectTest(unittest.TestCase):
    each_way = JoinsTest.each_way

    def test_a_whole_group_comes_in_the_order_given(self):
        def take(wanted):
            def body(ctx, event):
                group = ctx.collect(wanted)
                return None if group is None else STOP([event.value for event in group] + [len(ctx.events)])

            return body

        given = [blazen.Event(kind, value) for kind, value in (("B", 1), ("C", 2), ("A", 3), ("B", 4))]
        for way in self.each_way():
            for wanted, result in (
                ({"A": 1, "B": 2}, [3, 1, 4, 3]),
                (["A", "B", "B"], [3, 1, 4, 3]),
                (["B", "A", "B"], [1, 3, 4, 3]),
                (("B", "A"), [1, 3, 2]),
            ):
                steps = Steps(way, unhandled="ignore")
                steps.add("start", START, lambda ctx, event: given)
                steps.add("take", ["A", "B", "C"], take(wanted), max_concurrency=1)
                with self.subTest(wanted=wanted):
                    self.assertEqual(steps.result(), result)

    def test_each_event_is_in_one_group(self):
        for way in self.each_way():

            def take(ctx, event):
                group = ctx.collect(["A"] * 3)
                return group and blazen.Event("Group", [event.value for event in group])

            steps = Steps(way)
            steps.add("start", START, lambda ctx, event: events("A", range(90)))
            steps.add("take", "A", take)
            steps.add("end", "Group", lambda ctx, event: STOP(sorted(sum(values(ctx), []))), joins="start")
            self.assertEqual(steps.result(), list(range(90)))

    def test_by_key(self):
        def take(ctx, event):
            group = ctx.collect({"A": 2}, key=event.correlation)
            return group and blazen.Event("Group", [event.correlation, *(event.value for event in group)])

        for way in self.each_way():
            given = [blazen.Event("A", number, correlation="xy"[number % 2]) for number in range(4)]
            steps = Steps(way)
            steps.add("start", START, lambda ctx, event: given)
            steps.add("take", "A", take, max_concurrency=1)
            steps.add("end", "Group", lambda ctx, event: STOP(sorted(values(ctx))), joins="start")
            self.assertEqual(steps.result(), [["x", 0, 2], ["y", 1, 3]])

    def test_nothing_is_whole_at_once(self):
        for way in self.each_way():
            steps = Steps(way)
            steps.add("only", START, lambda ctx, event: STOP([ctx.collect([]), ctx.collect({"B": 0}, "k")]))
            self.assertEqual(steps.result(), [[], []])

    def test_whoever_made_it_whole_keeps_it_when_it_is_tried_again(self):
        def take(ctx, event):
            group = ctx.collect(["A", "A"])
            if group and ctx.attempt == 1:
                raise ConnectionError
            return group and STOP([event.value for event in group])

        for way in self.each_way():
            steps = Steps(way)
            steps.add("start", START, lambda ctx, event: events("A", range(2)))
            steps.add("take", "A", take, max_concurrency=1, retries=blazen.Retry(2))
            self.assertEqual(steps.result(), [0, 1])

    def test_what_is_collected_outlives_its_process(self):
        steps = Steps(idle="wait")
        steps.add("start", START, lambda ctx, event: events("A", [1]))
        take = lambda ctx, event: (group := ctx.collect(["A", "B"])) and STOP([event.value for event in group])  # noqa: E731
        steps.add("take", ["A", "B"], take)
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(steps.workflow)
            run.wait(TIMEOUT_S, [blazen.RunState.WAITING])
            snapshot = run.snapshot()
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.resume(steps.workflow, snapshot)
            run.start()
            run.send_event(blazen.Event("B", 2))
            self.assertEqual(run.result(TIMEOUT_S), [1, 2])

    def test_bad_input(self):
        def in_a_step(function, **options):
            steps = Steps().add("only", START, lambda ctx, event: STOP(function(ctx)), **options)
            return steps.result()

        for types, key, kind, message in (
            ([1], "", TypeError, "types is a str or a list of str"),
            (5, "", TypeError, "types is a str or a list of str"),
            ({"A": -1}, "", ValueError, r"types\['A'\] is from 0"),
            ({"A": 1.5}, "", TypeError, r"types\['A'\] is an int"),
            ("A", None, TypeError, "key is a str"),
            ("", "", blazen.BlazenError, "types"),
            ("A", "x" * 2000, blazen.BlazenError, "key"),
        ):
            with self.subTest(types=types, key=key):
                raised = in_a_step(lambda ctx: [str(failure) for failure in [_raised(kind, ctx, types, key)]])
                self.assertRegex(raised[0], message)
        with self.assertRaises(blazen.BlazenError) as caught:
            in_a_step(lambda ctx: ctx.collect("A"), atomic=True)
        self.assertEqual(caught.exception.__cause__.status, blazen.Status.WRONG_PLACE)


def _raised(kind, ctx, types, key):
    try:
        ctx.collect(types, key)
    except kind as failure:
        return failure
    return "nothing was raised"


if __name__ == "__main__":
    unittest.main()
