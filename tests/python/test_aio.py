"""Runs on an event loop: async steps, awaiting, streams, questions, and cancellation in both directions.

Every test runs with the loop's debug mode, and a warning, an exception that nobody saw, or an object that the library
still holds afterwards is a failure.
"""

import asyncio
import gc
import logging
import threading
import unittest
import warnings
import weakref

from support import TIMEOUT_S, blazen, nothing_left, one_step, result_of


def workflow_of(function, **options):
    """A workflow of one async step; what it returns is the result."""
    workflow = blazen.Workflow("one async step", **options.pop("workflow", {}))

    @workflow.step(accepts=blazen.START_EVENT, **options)
    async def only(ctx, event):
        return blazen.StopEvent(await function(ctx, event))

    return workflow


async def never(*_):
    await asyncio.get_running_loop().create_future()


class AioTest(unittest.TestCase):
    def run_quietly(self, test):
        """Runs test(runtime) on a loop; nothing may be said, and nothing left."""
        said = []

        class Handler(logging.Handler):
            def emit(self, record):
                said.append(record.getMessage())

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, trouble: said.append(trouble))
            loop.slow_callback_duration = TIMEOUT_S  # how slow the machine is now is not tested
            async with blazen.aio.Runtime() as runtime:
                await asyncio.wait_for(test(runtime), TIMEOUT_S)
            self.assertEqual(asyncio.all_tasks(), {asyncio.current_task()})

        handler = Handler(logging.WARNING)
        logging.getLogger("asyncio").addHandler(handler)
        try:
            with nothing_left(self), warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                asyncio.run(main(), debug=True)
                gc.collect()
        finally:
            logging.getLogger("asyncio").removeHandler(handler)
        self.assertEqual(said + [str(warning.message) for warning in warned], [])

    # ---- running ----

    def test_a_coroutine_is_a_step_on_this_thread(self):
        async def body(ctx, event):
            await asyncio.sleep(0.001)
            ctx.state["seen"] = event.value
            return [ctx.state["seen"], threading.get_ident()]

        async def test(runtime):
            self.assertEqual(await runtime.run(workflow_of(body), "in"), ["in", threading.get_ident()])

        before = threading.active_count()
        self.run_quietly(test)
        self.assertEqual(threading.active_count(), before)

    def test_async_and_other_steps_in_one_workflow(self):
        async def test(runtime):
            workflow = blazen.Workflow("mixed")

            @workflow.step(accepts=blazen.START_EVENT)
            def spread(ctx, event):
                ctx.state.update(left=20, total=0)
                return [blazen.Event("Item", number) for number in range(20)]

            @workflow.step(accepts="Item", max_concurrency=4)
            async def square(ctx, event):
                await asyncio.sleep(0)
                return blazen.Event("Squared", event.value**2)

            @workflow.step(accepts="Squared")
            def add(ctx, event):
                ctx.state.update(left=ctx.state["left"] - 1, total=ctx.state["total"] + event.value)
                return blazen.StopEvent(ctx.state["total"]) if ctx.state["left"] == 0 else None

            self.assertEqual(await runtime.run(workflow), sum(n * n for n in range(20)))

        self.run_quietly(test)

    def test_many_runs_at_once(self):
        async def body(ctx, event):
            await asyncio.sleep(0.01)
            return event.value * 2

        async def test(runtime):
            workflow = workflow_of(body)
            results = await asyncio.gather(*(runtime.run(workflow, number) for number in range(200)))
            self.assertEqual(results, [2 * number for number in range(200)])

        self.run_quietly(test)

    def test_an_endless_run_leaves_the_loop_its_turns(self):
        async def test(runtime):
            workflow = blazen.Workflow("endless")
            workflow.step(name="spin", accepts=[blazen.START_EVENT, "Again"])(lambda ctx, event: blazen.Event("Again"))
            run = runtime.run(workflow)
            await asyncio.sleep(0.02)
            run.abort()
            with self.assertRaises(blazen.BlazenError) as caught:
                await run
            self.assertEqual(caught.exception.status, blazen.Status.ABORTED)

        self.run_quietly(test)

    def test_only_on_a_loop(self):
        async def body(ctx, event):
            return 1

        with self.assertRaises(blazen.BlazenError) as caught:
            result_of(workflow_of(body), mode="pump")
        self.assertIsInstance(caught.exception.__cause__, RuntimeError)

    # ---- streams ----

    def test_a_stream_ends(self):
        async def body(ctx, event):
            for number in range(5):
                ctx.publish(blazen.Event("Number", number))
                await asyncio.sleep(0.001)

        async def test(runtime):
            run = runtime.create(workflow_of(body))
            stream, ends = run.stream(), run.stream()
            run.start()
            self.assertEqual([item.value async for item in stream], list(range(5)))
            items = [await ends.next() for _ in range(7)]
            self.assertEqual([item.type for item in items], ["Number"] * 5 + [blazen.STREAM_END] * 2)
            await run

        self.run_quietly(test)

    def test_a_wait_for_an_item_can_be_cancelled(self):
        async def test(runtime):
            run = runtime.run(workflow_of(never))
            stream = run.stream()
            for _ in range(2):
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(stream.next(), 0.01)
            run.abort()
            self.assertEqual([item async for item in stream], [])

        self.run_quietly(test)

    # ---- failures ----

    def test_the_exception_comes_out_as_it_went_in(self):
        raised = []

        async def body(ctx, event):
            await asyncio.sleep(0)
            raised.append(ValueError("no"))
            raise raised[0]

        async def test(runtime):
            with self.assertRaises(blazen.BlazenError) as caught:
                await runtime.run(workflow_of(body))
            self.assertIs(caught.exception.__cause__, raised.pop())
            self.assertEqual((caught.exception.status, caught.exception.step), (blazen.Status.STEP_FAILED, "only"))

        self.run_quietly(test)

    def test_a_wrong_outcome_fails_the_step(self):
        async def test(runtime):
            workflow = blazen.Workflow("wrong")

            @workflow.step(accepts=blazen.START_EVENT)
            async def only(ctx, event):
                return 7

            with self.assertRaises(blazen.BlazenError) as caught:
                await runtime.run(workflow)
            self.assertIsInstance(caught.exception.__cause__, TypeError)

        self.run_quietly(test)

    def test_a_step_is_tried_again(self):
        async def body(ctx, event):
            await asyncio.sleep(0)
            if ctx.attempt < 3:
                raise ConnectionError
            return ctx.attempt

        async def test(runtime):
            retries = blazen.Retry(3, initial_delay=0.01)
            self.assertEqual(await runtime.run(workflow_of(body, retries=retries)), 3)

        self.run_quietly(test)

    # ---- questions ----

    def test_another_task_answers(self):
        async def body(ctx, event):
            name = await ctx.ask("Name?", metadata={"max": 10})
            return [name, await ctx.ask("Age?", request_id="age")]

        async def answer(run, stream):
            async for item in stream:
                if item.type == blazen.INPUT_REQUEST_EVENT:
                    run.respond(item.correlation, {"Name?": "Ada", "Age?": 36}[item.value["prompt"]])

        async def test(runtime):
            run = runtime.create(workflow_of(body))
            answering = asyncio.create_task(answer(run, run.stream()))
            run.start()
            self.assertEqual(await run, ["Ada", 36])
            await answering

        self.run_quietly(test)

    def test_questions_at_once_have_their_own_answers(self):
        async def body(ctx, event):
            return await asyncio.gather(*(ctx.ask(f"{number}?") for number in range(3)))

        async def test(runtime):
            run = runtime.run(workflow_of(body))
            await run.wait([blazen.RunState.ASKING])
            while len(questions := run.questions()) < 3:
                await asyncio.sleep(0)
            for question in reversed(questions):
                run.respond(question["request_id"], question["prompt"])
            self.assertEqual(await run, ["0?", "1?", "2?"])

        self.run_quietly(test)

    def test_a_question_outlives_its_process(self):
        calls = []

        async def body(ctx, event):
            calls.append(ctx.invocation_id)
            return [await ctx.ask("one?", request_id="one"), await ctx.ask("two?", request_id="two")]

        async def test(runtime):
            workflow = workflow_of(body)
            run = runtime.run(workflow)
            await run.wait([blazen.RunState.ASKING])
            run.respond("one", 1)
            while [question["request_id"] for question in run.questions()] != ["two"]:
                await asyncio.sleep(0)
            snapshot = run.snapshot()
            run.abort()
            run = runtime.resume(workflow, snapshot)
            run.start()
            await run.wait([blazen.RunState.ASKING])
            run.respond("two", 2)
            self.assertEqual(await run, [1, 2])
            self.assertEqual(len(set(calls)), 1)

        self.run_quietly(test)

    def test_an_input_handler_answers(self):
        async def body(ctx, event):
            return await ctx.ask("What?")

        async def test(runtime):
            run = runtime.run(workflow_of(body), input_handler=lambda request: request.value["prompt"] + "!")
            self.assertEqual(await run, "What?!")

        self.run_quietly(test)

    def test_questions_outlive_their_loop_with_the_answers_that_were_given(self):
        snapshots = []

        async def body(ctx, event):
            ctx.state["calls"] = ctx.state.get("calls", 0) + 1
            first = ctx.ask("one?", request_id="one")
            second = ctx.ask("two?", request_id="two")
            return [await asyncio.gather(first, second), ctx.state["calls"], ctx.invocation_id]

        workflow = workflow_of(body)

        async def ask(runtime):
            run = runtime.run(workflow)
            while len(run.questions()) < 2:
                await run.wait([blazen.RunState.ASKING])
                await asyncio.sleep(0)
            run.respond("two", {"given": "before"})
            snapshots.append(run.snapshot())  # at once: nobody has had the answer yet

        async def answer(runtime):
            run = runtime.resume(workflow, snapshots.pop())
            run.start()
            await run.wait([blazen.RunState.ASKING])
            self.assertEqual([question["request_id"] for question in run.questions()], ["one"])
            run.respond("one", b"\0after")
            self.assertEqual(await run, [[b"\0after", {"given": "before"}], 2, 1])

        self.run_quietly(ask)
        self.run_quietly(answer)

    # ---- async input handlers ----

    def asking(self, questions=("What?",)):
        async def body(ctx, event):
            return await asyncio.gather(*map(ctx.ask, questions))

        return workflow_of(body)

    def test_an_async_input_handler_answers_each_question_when_it_can(self):
        doors, order = {str(number): asyncio.Event() for number in range(3)}, []

        async def handler(request):
            prompt = request.value["prompt"]
            await doors[prompt].wait()
            order.append(prompt)
            return prompt + "!"

        async def test(runtime):
            run = runtime.run(self.asking("012"), input_handler=handler)
            await run.wait([blazen.RunState.ASKING])
            for door in reversed(doors.values()):
                door.set()
                await asyncio.sleep(0.001)
            self.assertEqual(await run, ["0!", "1!", "2!"])
            self.assertEqual(order, ["2", "1", "0"])

        self.run_quietly(test)

    def test_an_async_input_handler_answers_steps_that_are_no_coroutines_too(self):
        async def handler(request):
            await asyncio.sleep(0)
            return [request.value["prompt"]]

        async def test(runtime):
            step = one_step(lambda ctx, event: [ctx.ask("one?"), ctx.ask("two?")])
            self.assertEqual(await runtime.run(step, input_handler=handler), [["one?"], ["two?"]])

        self.run_quietly(test)

    def test_an_input_handler_is_async_where_it_returns_an_awaitable(self):
        async def answer(text):
            return text + "!"

        async def test(runtime):
            run = runtime.run(self.asking(), input_handler=lambda request: answer(request.value["prompt"]))
            self.assertEqual(await run, ["What?!"])

        self.run_quietly(test)

    def test_an_exception_of_an_async_input_handler_fails_the_run(self):
        class Gone(Exception):
            host_code = 7

        raised = []

        async def handler(request):
            await asyncio.sleep(0)
            raised.append(Gone("nobody is here"))
            raise raised[0]

        async def test(runtime):
            for _ in range(2):
                run = runtime.run(self.asking(), input_handler=handler)
                for _ in range(2):
                    with self.assertRaisesRegex(blazen.BlazenError, "Gone: nobody is here") as caught:
                        await run
                    error = caught.exception
                    self.assertEqual((error.status, error.host_code), (blazen.Status.HOST, 7))
                    self.assertIs(error.__cause__, raised[0])
                    self.assertIs(error.detail, raised[0])
                raised.clear()

        self.run_quietly(test)

    def test_the_end_of_a_run_cancels_its_input_handler(self):
        happened = []

        async def handler(request):
            happened.append("asked")
            try:
                await never()
            finally:
                happened.append("cancelled")

        async def test(runtime):
            run = runtime.run(self.asking("ab"), input_handler=handler)
            while len(happened) < 2:
                await asyncio.sleep(0)
            self.assertEqual(await run.wait([blazen.RunState.ASKING]), blazen.RunState.ASKING)
            await run.abort()
            with self.assertRaises(blazen.BlazenError) as caught:
                await run
            self.assertEqual(caught.exception.status, blazen.Status.ABORTED)

        self.run_quietly(test)
        self.assertEqual(happened, ["asked"] * 2 + ["cancelled"] * 2)

    def test_what_an_input_handler_raises_after_the_end_changes_nothing(self):
        async def handler(request):
            try:
                await never()
            finally:
                raise ValueError("too late")

        async def test(runtime):
            run = runtime.run(self.asking(), input_handler=handler)
            await run.wait([blazen.RunState.ASKING])
            await asyncio.sleep(0)
            await run.abort()
            with self.assertRaises(blazen.BlazenError) as caught:
                await run
            self.assertEqual((caught.exception.status, caught.exception.__cause__), (blazen.Status.ABORTED, None))

        self.run_quietly(test)

    def test_somebody_else_may_answer_first(self):
        answered = asyncio.Event()

        async def handler(request):
            await answered.wait()
            return "late"

        async def test(runtime):
            run = runtime.run(self.asking("ab"), input_handler=handler)
            while len(run.questions()) < 2:
                await asyncio.sleep(0)
            run.respond(run.questions()[0]["request_id"], "early")
            answered.set()
            self.assertEqual(await run, ["early", "late"])

        self.run_quietly(test)

    def test_an_async_input_handler_may_leave_it_to_respond(self):
        async def handler(request):
            return None

        async def test(runtime):
            run = runtime.run(self.asking(), input_handler=handler)
            await run.wait([blazen.RunState.ASKING])
            await asyncio.sleep(0)
            run.respond(run.questions()[0]["request_id"], "by hand")
            self.assertEqual(await run, ["by hand"])

        self.run_quietly(test)

    def test_an_async_input_handler_answers_after_a_resume(self):
        async def handler(request):
            await asyncio.sleep(0)
            return request.value["prompt"] + "!"

        async def test(runtime):
            run = runtime.run(self.asking())
            await run.wait([blazen.RunState.ASKING])
            again = runtime.resume(self.asking(), run.snapshot(), input_handler=handler)
            run.abort()
            again.start()
            self.assertEqual(await again, ["What?!"])

        self.run_quietly(test)

    def test_a_run_that_nobody_holds_waits_for_its_input_handler(self):
        done = []

        async def handler(request):
            gc.collect()
            await asyncio.sleep(0)
            return "yes"

        async def body(ctx, event):
            done.append(await ctx.ask("?"))

        async def test(runtime):
            runtime.run(workflow_of(body), input_handler=handler)
            while not done:
                await asyncio.sleep(0)

        self.run_quietly(test)
        self.assertEqual(done, ["yes"])

    def test_an_async_input_handler_needs_a_loop(self):
        async def handler(request):
            return 1

        with blazen.Runtime(mode="pump") as runtime, warnings.catch_warnings():
            warnings.simplefilter("error")
            run = runtime.run(one_step(lambda ctx, event: ctx.ask("?")), input_handler=handler)
            with self.assertRaisesRegex(blazen.BlazenError, "input_handler is async") as caught:
                run.result(TIMEOUT_S)
            self.assertIsInstance(caught.exception.__cause__, TypeError)

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
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.gather(*runs), 0.02)
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
        async def body(ctx, event):
            await asyncio.sleep(0.03)
            return "done"

        async def test(runtime):
            run = runtime.run(workflow_of(body))
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(run.wait(), 0.005)
            self.assertEqual(await run, "done")

        self.run_quietly(test)

    def test_the_end_of_a_run_cancels_its_coroutines(self):
        for options, status in (
            ({"workflow": {"timeout": 0.02}}, blazen.Status.RUN_TIMEOUT),
            ({"timeout": 0.02}, blazen.Status.STEP_TIMEOUT),
        ):
            body, happened = self.cancelled_body()

            async def test(runtime, body=body, options=options, status=status):
                with self.assertRaises(blazen.BlazenError) as caught:
                    await runtime.run(workflow_of(body, **options))
                self.assertEqual(caught.exception.status, status)

            with self.subTest(status=status):
                self.run_quietly(test)
                self.assertEqual(happened, ["begun", True])

    def test_an_attempt_that_takes_too_long_is_cancelled_and_tried_again(self):
        async def body(ctx, event):
            if ctx.attempt == 1:
                await never()
            return ctx.attempt

        async def test(runtime):
            self.assertEqual(await runtime.run(workflow_of(body, timeout=0.02, retries=blazen.Retry(2))), 2)

        self.run_quietly(test)

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
                begun.set()
                await door.wait()
                return blazen.Event("More")

            @workflow.step(accepts="More")
            async def end(ctx, event):
                return blazen.StopEvent("went on")

            for drain in (False, True):
                begun, door = asyncio.Event(), asyncio.Event()
                run = runtime.run(workflow)
                await begun.wait()
                pausing = asyncio.ensure_future(run.pause(drain=drain))
                await asyncio.sleep(0.001)
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
            await asyncio.sleep(0.001)
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
                    await asyncio.sleep(0.002)
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
            await asyncio.sleep(0.001)
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

    def test_many_cancelled_looks_leave_one(self):
        async def test(runtime):
            run = runtime.run(workflow_of(never))
            await asyncio.sleep(0.001)
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

    def test_two_loops_one_after_the_other_share_a_workflow(self):
        async def body(ctx, event):
            return event.value

        workflow = workflow_of(body)
        for number in range(2):
            async def test(runtime, number=number):
                self.assertEqual(await runtime.run(workflow, number), number)

            self.run_quietly(test)

    def test_a_step_may_run_a_workflow_of_its_own(self):
        async def test(runtime):
            inner = one_step(lambda ctx, event: event.value + 1)

            async def body(ctx, event):
                return await runtime.run(inner, event.value) * 10

            self.assertEqual(await runtime.run(workflow_of(body), 1), 20)

        self.run_quietly(test)


if __name__ == "__main__":
    unittest.main()
