"""Runs of pipelines by stages: the result of each, the stream with its stages, progress, snapshots, failures."""

import asyncio
import unittest

from support import TIMEOUT_S, blazen, nothing_left
from test_children import asked, asking, doubling, ending, failing
from test_pipelines import adding, built, waiting
from blazen import ParallelStage, Stage


def telling():
    """Publishes its input, and gives it back."""

    def tell(ctx, event):
        ctx.publish(blazen.Event("News", event.value))
        return event.value

    return ending("pump", tell)


def shown(each):
    return each.stage_name, each.branch_name, each.event.type, each.event.value


class HandlerTest(unittest.TestCase):
    def test_the_result_is_by_stages(self):
        def leave(ctx, last):
            ctx.state["seen"] = last
            return last

        pipeline = built(
            Stage("one", adding(1), output=leave),
            Stage("two", doubling(), condition=lambda last: False),
            Stage("th/ree", doubling()),
        )
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            result = pipeline.run(5, runtime=runtime)
            self.assertIsInstance(result, blazen.PipelineResult)
            self.assertEqual((result.pipeline_name, result.final_output), ("pipeline", 12))
            self.assertEqual(result.shared_state, {"seen": 6})
            stages = [(stage.name, stage.output, stage.skipped) for stage in result.stage_results]
            self.assertEqual(stages, [("one", 6, False), ("two", None, True), ("th/ree", 12, False)])
            took = [stage.duration_ms is None for stage in result.stage_results]
            self.assertEqual(took, [False, True, False])
            self.assertEqual(len(result.run_id), 36)
            del runtime

    def test_without_a_runtime_there_is_one(self):
        pipeline = built(Stage("one", adding(1)))
        results = [pipeline.run(number) for number in (1, 2)]
        self.assertEqual([result.final_output for result in results], [2, 3])
        self.assertEqual(pipeline.start(7).result(TIMEOUT_S).final_output, 8)

    def test_the_stream_says_of_which_stage_an_item_is(self):
        branches = {"left": telling(), "right": telling()}
        pipeline = built(Stage("one", telling()), ParallelStage("two", branches))
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            handler = pipeline.start(3, runtime=runtime)
            self.assertEqual(handler.result(TIMEOUT_S).final_output, {"left": 3, "right": 3})
            items = list(handler.stream_events())
            self.assertEqual(
                [shown(item) for item in items],
                [("one", None, "News", 3), ("two", "left", "News", 3), ("two", "right", "News", 3)],
            )
            self.assertEqual(len({item.workflow_run_id for item in items}), 3)
            del handler, runtime

    def test_a_snapshot_goes_on(self):
        pipeline = built(Stage("one", adding(1)), Stage("two", asking()))
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            handler = pipeline.start(5, runtime=runtime)
            [question] = asked(handler.run)
            self.assertEqual([handler.progress()[name] for name in ("current", "total", "percent")], [1, 2, 50])
            handler.pause()
            snapshot = handler.snapshot()
            handler.resume_in_place()
            self.assertIsInstance(snapshot, blazen.PipelineSnapshot)
            self.assertEqual((snapshot.pipeline_name, snapshot.run_id), ("pipeline", handler.run.id))
            self.assertEqual(snapshot.info["children"], 1)
            handler.abort()
            again = pipeline.resume(snapshot, runtime=runtime)
            again.respond_to_input(question["request_id"], "me")
            result = again.result(TIMEOUT_S)
            self.assertEqual((result.final_output, result.run_id), ("me", handler.run.id))
            self.assertEqual([stage.output for stage in result.stage_results], [6, "me"])
            del handler, again, runtime

    def test_a_failure_says_which_stage(self):
        pipeline = built(Stage("one", adding(1)), Stage("two", failing()))
        with blazen.Runtime("pump") as runtime:
            with self.assertRaisesRegex(blazen.PipelineError, "no luck with 6") as caught:
                pipeline.run(5, runtime=runtime)
            self.assertEqual((caught.exception.stage, caught.exception.status), ("two", blazen.Status.STEP_FAILED))
            self.assertIsInstance(caught.exception.__cause__, ValueError)
            clock = blazen.Clock()
            with blazen.Runtime("pump", clock=clock) as timed:
                builder = blazen.PipelineBuilder("timed").total_timeout(1).stage(Stage("one", waiting()))
                handler = builder.build().start(runtime=timed)
                with self.assertRaises(blazen.BlazenTimeout):
                    handler.result(0)
                clock.advance(1.001)
                with self.assertRaises(blazen.PipelineError) as caught:
                    handler.result(TIMEOUT_S)
                self.assertEqual((caught.exception.stage, caught.exception.status), ("one", blazen.Status.RUN_TIMEOUT))


class AsyncHandlerTest(unittest.TestCase):
    def in_loop(self, body):
        async def main():
            async with blazen.aio.Runtime() as runtime:
                await asyncio.wait_for(body(runtime), TIMEOUT_S)

        with nothing_left(self):
            asyncio.run(main())

    def test_it_is_awaited(self):
        async def body(runtime):
            handler = built(Stage("one", telling()), Stage("two", doubling("asyncio"))).start(3, runtime=runtime)
            self.assertEqual([shown(each) async for each in handler.stream_events()], [("one", None, "News", 3)])
            self.assertEqual((await handler).final_output, 6)
            result = await built(Stage("one", adding(1, "asyncio"))).run(5, runtime=runtime)
            self.assertEqual([stage.output for stage in result.stage_results], [6])

        self.in_loop(body)

    def test_it_fails_by_its_stage(self):
        async def body(runtime):
            with self.assertRaises(blazen.PipelineError) as caught:
                await built(Stage("one", failing("asyncio"))).run(5, runtime=runtime)
            self.assertEqual(caught.exception.stage, "one")

        self.in_loop(body)

    def test_it_is_paused_and_resumed(self):
        async def body(runtime):
            pipeline = built(Stage("one", asking("asyncio")))
            handler = pipeline.start(5, runtime=runtime)
            await handler.run.wait([blazen.RunState.ASKING])
            await handler.pause()
            again = pipeline.resume(handler.snapshot(), runtime=runtime, fork=True)
            await handler.abort()
            await again.run.wait([blazen.RunState.ASKING])
            again.respond_to_input(again.run.questions()[0]["request_id"], "me")
            self.assertEqual((await again).final_output, "me")

        self.in_loop(body)


if __name__ == "__main__":
    unittest.main()
