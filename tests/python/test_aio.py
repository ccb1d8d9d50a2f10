"""Runs on an event loop: async steps, awaiting, streams, failures, and questions with async input handlers."""

import asyncio
import gc
import threading
import unittest
import warnings

from aio_support import QuietTest, never, some_turns, workflow_of
from support import TIMEOUT_S, blazen, one_step, result_of


class AioTest(QuietTest):
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
        async def test(runtime):
            begun, all_have_begun = [], asyncio.Event()

            async def body(ctx, event):
                begun.append(event.value)
                if len(begun) == 100:
                    all_have_begun.set()
                await all_have_begun.wait()
                return event.value * 2

            workflow = workflow_of(body)
            results = await asyncio.gather(*(runtime.run(workflow, number) for number in range(100)))
            self.assertEqual(results, [2 * number for number in range(100)])

        self.run_quietly(test)

    def test_an_endless_run_leaves_the_loop_its_turns(self):
        async def test(runtime):
            workflow = blazen.Workflow("endless")
            spun = []

            @workflow.step(accepts=[blazen.START_EVENT, "Again"])
            def spin(ctx, event):
                spun.append(1)
                return blazen.Event("Again")

            run = runtime.run(workflow)
            while len(spun) < 1000:
                await asyncio.sleep(0)
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
                await some_turns()
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

        for end, status in (
            (lambda run, runtime: run.abort(), blazen.Status.ABORTED),
            (lambda run, runtime: run.aclose(), blazen.Status.CANCELLED),
            (lambda run, runtime: runtime.aclose(), blazen.Status.CANCELLED),
        ):
            happened.clear()

            async def test(runtime, end=end, status=status):
                run = runtime.run(self.asking("ab"), input_handler=handler)
                while len(happened) < 2:
                    await asyncio.sleep(0)
                self.assertEqual(await run.wait([blazen.RunState.ASKING]), blazen.RunState.ASKING)
                await end(run, runtime)
                self.assertEqual(happened, ["asked"] * 2 + ["cancelled"] * 2)
                with self.assertRaises(blazen.BlazenError) as caught:
                    await run
                self.assertEqual(caught.exception.status, status)

            with self.subTest(status):
                self.run_quietly(test)

    def test_what_an_input_handler_raises_after_somebody_else_has_answered_changes_nothing(self):
        asked, doors = {}, {prompt: asyncio.Event() for prompt in "ab"}

        async def handler(request):
            prompt = request.value["prompt"]
            asked[prompt] = request.correlation
            await doors[prompt].wait()
            raise ValueError(prompt)

        async def test(runtime):
            run = runtime.run(self.asking("ab"), input_handler=handler)
            await run.wait([blazen.RunState.ASKING])
            run.respond(asked["a"], "A")
            doors["a"].set()
            await some_turns()
            self.assertEqual(await run.wait([blazen.RunState.ASKING]), blazen.RunState.ASKING)
            doors["b"].set()
            with self.assertRaisesRegex(blazen.BlazenError, "ValueError: b") as caught:
                await run
            self.assertEqual(caught.exception.status, blazen.Status.HOST)
            self.assertEqual(run.state, blazen.RunState.FAILED)

        self.run_quietly(test)

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


if __name__ == "__main__":
    unittest.main()
