"""Pipelines, with functions and with coroutines: stages one behind the other, at once and in rounds; conditions and
mappers; where they stand; snapshots; and bad input."""

import threading
import unittest

from support import TIMEOUT_S, blazen, nothing_left
from test_children import FIRST, START, EveryWayTest, around, as_in, asked, asking, doubling, ending, failing, result
from blazen import LoopStage, ParallelStage, PipelineBuilder, Stage


def adding(number, way="pump"):
    return ending(way, lambda ctx, event: event.value + number)


def built(*stages, **options):
    builder = PipelineBuilder("pipeline", **options)
    adders = {Stage: builder.stage, ParallelStage: builder.parallel, LoopStage: builder.loop_stage}
    for stage in stages:
        adders[type(stage)](stage)
    return builder.build()


def waiting():
    """A workflow that takes five seconds."""
    workflow = blazen.Workflow("waiting")
    workflow.step(name="start", accepts=START)(lambda ctx, event: ctx.emit(blazen.Event("Later"), delay=5))
    workflow.step(name="later", accepts="Later")(lambda ctx, event: blazen.StopEvent())
    return workflow


def statuses(run):
    return {stage["name"]: stage["status"] for stage in run.stages()["stages"]}


class StagesTest(EveryWayTest):
    def test_each_gets_the_result_of_the_one_before(self):
        for way in self.each_way():
            self.assertEqual(result(way, built(Stage("one", adding(1, way)), Stage("two", doubling(way))), 5), 12)

    def test_a_run_says_where_they_stand(self):
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            pipeline = built(Stage("one", adding(1)), Stage("t/w~o", asking()), Stage("three", adding("!")))
            run = runtime.run(pipeline, 5)
            [question] = asked(run)
            self.assertEqual(statuses(run), {"one": "completed", "t/w~o": "running", "three": "pending"})
            self.assertEqual([run.stages()[name] for name in ("current", "total")], [1, 3])
            run.respond(question["request_id"], "me")
            self.assertEqual(run.result(TIMEOUT_S), "me!")
            self.assertEqual(set(statuses(run).values()), {"completed"})
            self.assertEqual(run.stages()["percent"], 100)
            keys = ["blazen/input", *map(blazen.result_key, ("one", "t/w~o", "three"))]
            self.assertEqual([run.values[key] for key in keys], [5, 6, "me", "me!"])
            self.assertEqual([each["name"] for each in pipeline.describe()["stages"]], ["one", "t/w~o", "three"])
            del run, runtime, pipeline

    def test_a_condition_skips_one(self):
        for way in ("pump", "threads"):
            with self.subTest(way), nothing_left(self), blazen.Runtime(way) as runtime:
                stages = [
                    Stage("one", adding(1)),
                    Stage("two", adding(10), condition=lambda last: last != 6),
                    Stage("three", adding(10), condition=lambda ctx, last: last == ctx.state[blazen.result_key("one")]),
                ]
                run = runtime.run(built(*stages), 5)
                self.assertEqual(run.result(TIMEOUT_S), 16)
                self.assertEqual(statuses(run), {"one": "completed", "two": "skipped", "three": "completed"})
                del run, runtime, stages

    def test_mappers_decide_what_goes_in_and_comes_out(self):
        def input_mapper(ctx, last):
            ctx.state["seen"] = [ctx.step_name, last]
            return last * 10

        def output(ctx, given):
            return [*ctx.state["seen"], given]

        for way in self.each_way():
            mappers = {"input_mapper": as_in(way, input_mapper), "output": as_in(way, output)}
            self.assertEqual(result(way, built(Stage("one", adding(1, way), **mappers)), 5), ["one::input", 5, 51])

    def test_objects_keep_their_identity(self):
        lock = threading.Lock()
        stages = Stage("one", ending("pump", lambda ctx, event: lock)), Stage("two", doubling(), output=lambda _: lock)
        with nothing_left(self):
            self.assertIs(result("pump", built(stages[0])), lock)
            self.assertIs(result("pump", built(stages[1]), 1), lock)

    def test_one_may_be_a_pipeline_and_a_pipeline_a_step(self):
        for way in self.each_way():
            pipeline = built(Stage("one", adding(1, way)))
            self.assertEqual(result(way, around(built(Stage("outer", pipeline), Stage("two", pipeline))), 5), 7)
            del pipeline


class ParallelTest(EveryWayTest):
    def test_all_of_them(self):
        for way in self.each_way():
            branches = {"right": adding(1, way), "left": doubling(way)}
            self.assertEqual(result(way, built(ParallelStage("both", branches)), 5), {"right": 6, "left": 10})
            total = ParallelStage("both", branches, output=as_in(way, lambda results: sum(results.values())))
            self.assertEqual(result(way, built(total, Stage("more", adding(1, way))), 5), 17)
            del branches, total

    def test_the_first_success_is_enough(self):
        for strategy in (FIRST, "first_completes"):
            with self.subTest(strategy), nothing_left(self), blazen.Runtime("pump") as runtime:
                stage = ParallelStage("any", {"bad": failing(), "slow": asking(), "good": doubling()}, strategy)
                run = runtime.run(built(stage), 5)
                self.assertEqual(run.result(TIMEOUT_S), 10)
                [shown] = run.stages()["stages"]
                self.assertEqual((shown["branch"], run.values[blazen.result_key("any", "good")]), ("good", 10))
                del run, runtime, stage

    def test_a_branch_elsewhere(self):
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.run(built(ParallelStage("all", {"a": doubling(), "b": blazen.ELSEWHERE})), 3)
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.ELSEWHERE)
            again = runtime.resume(built(ParallelStage("all", {"a": doubling(), "b": doubling()})), run.snapshot())
            again.start()
            self.assertEqual(again.result(TIMEOUT_S), {"a": 6, "b": 6})
            del run, again, runtime


class LoopTest(EveryWayTest):
    def test_it_goes_on_until_it_is_said_to_be_done(self):
        for way in self.each_way():
            until = as_in(way, lambda last: "done" if last > 100 else "again")
            self.assertEqual(result(way, built(LoopStage("loop", 20, Stage("", doubling(way)), until)), 5), 160)
            del until

    def test_it_ends_at_its_bound(self):
        def again(last):
            return "again"

        inner = Stage("inner", adding(1), output=lambda last: [last])
        for way in self.each_way():
            self.assertEqual(result(way, built(LoopStage("loop", 7, inner)), 0), [7])
            self.assertEqual(result(way, built(LoopStage("loop", 7, inner, again, done_at_bound=True)), 0), [7])
            error = self.failure(way, built(LoopStage("loop", 7, inner, again)), 0)
            self.assertRegex(str(error), "stage 'loop' has had its 7 rounds")
            self.assertEqual(error.__cause__.status, blazen.Status.LIMIT)
            error = self.failure(way, built(LoopStage("loop", 7, inner, lambda last: "fail")), 0)
            self.assertRegex(str(error), "said to have failed after round 1")
            del error

    def test_several_at_once_in_each_round(self):
        def total(ctx, event):
            return sum(event.value.values()) + 1

        for way in self.each_way():
            inner = ParallelStage("", {"a": ending(way, total), "b": ending(way, total)}, output=as_in(way, list))
            self.assertEqual(result(way, built(LoopStage("loop", 2, inner)), {"x": 1}), ["a", "b"])
            inner = ParallelStage("", {"a": ending(way, total), "b": ending(way, total)})
            self.assertEqual(result(way, built(LoopStage("loop", 2, inner)), {"x": 1}), {"a": 5, "b": 5})
            del inner

    def test_a_snapshot_of_a_round_goes_on_there(self):
        workflow = built(Stage("one", adding("b")), LoopStage("loop", 3, Stage("", asking())))
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.run(workflow, "a")
            for answer in ("c", "d"):
                run.respond(asked(run)[0]["request_id"], answer)
                runtime.poll()
            again = runtime.resume(workflow, run.snapshot())
            run.close()
            again.start()
            [question] = asked(again)
            self.assertEqual((question["prompt"], again.stages()["stages"][1]["round"]), ("who is d?", 2))
            again.respond(question["request_id"], "e")
            self.assertEqual(again.result(TIMEOUT_S), "e")
            del run, again, runtime


class FailuresTest(EveryWayTest):
    def test_that_of_a_workflow_fails_the_pipeline(self):
        for way in self.each_way():
            error = self.failure(way, built(Stage("one", failing(way)), Stage("two", doubling(way))), 5)
            self.assertRegex(str(error), "one.*no luck with 5")
            self.assertIsInstance(error.__cause__, ValueError)
            del error

    def test_that_of_a_function_too(self):
        def broken(last):
            raise ConnectionError("no line")

        for way in self.each_way():
            fail = as_in(way, broken)
            for part, argument in (("input", "input_mapper"), ("condition", "condition"), ("output", "output")):
                error = self.failure(way, built(Stage("one", adding(1, way), **{argument: fail})), 5)
                self.assertEqual((error.step, type(error.__cause__)), (f"one::{part}", ConnectionError))
                del error
            error = self.failure(way, built(LoopStage("one", 2, Stage("", adding(1, way)), fail)), 5)
            self.assertEqual((error.step, type(error.__cause__)), ("one::until", ConnectionError))
            del error, fail

    def test_it_is_tried_again(self):
        for way in self.each_way():
            calls = []

            def once(given, calls=calls):
                calls.append(given)
                if len(calls) % 2:
                    raise ConnectionError
                return given

            mappers = {"input_mapper": as_in(way, once), "output": as_in(way, once)}
            stage = Stage("one", adding(1, way), retries=blazen.Retry(2), **mappers)
            self.assertEqual((result(way, built(stage), 5), calls), (6, [5, 5, 6, 6]))
            del stage, mappers, once

    def test_its_time_is_up(self):
        for prepare, status in (
            (lambda builder: builder.stage(Stage("one", waiting(), timeout=1)), blazen.Status.STEP_FAILED),
            (lambda builder: builder.timeout_per_stage(1).stage(Stage("one", waiting())), blazen.Status.STEP_FAILED),
            (lambda builder: builder.total_timeout(1).stage(Stage("one", waiting())), blazen.Status.RUN_TIMEOUT),
        ):
            clock = blazen.Clock()
            with self.subTest(status), blazen.Runtime("pump", clock=clock) as runtime:
                run = runtime.run(prepare(PipelineBuilder("pipeline")).build())
                runtime.poll()
                clock.advance(1.001)
                with self.assertRaises(blazen.BlazenError) as caught:
                    run.result(TIMEOUT_S)
                self.assertEqual(caught.exception.status, status)


class BadInputTest(EveryWayTest):
    def test_each_has_its_own_words(self):
        inner = doubling()
        one = Stage("one", inner)
        with nothing_left(self):
            for stages, kind, message in (
                ([], blazen.BlazenError, "it has no stage"),
                ([one, one], blazen.BlazenError, "two stages are named 'one'"),
                ([Stage(1, inner)], TypeError, "name is a str"),
                ([Stage("one", 1)], TypeError, "workflow is a Workflow, not 1"),
                ([Stage("one", inner, condition=1)], TypeError, "condition is a function"),
                ([Stage("one", inner, input_mapper=lambda: 1)], TypeError, "input_mapper is a function of one argument"),
                ([Stage("one", inner, timeout="1")], TypeError, "timeout is a number of seconds"),
                ([Stage("one", inner, retries=2)], TypeError, "retries is a Retry, not 2"),
                ([ParallelStage("one", [inner])], TypeError, "branches is a dict"),
                ([ParallelStage("one", {"a": None})], TypeError, r"branches\['a'\] is a Workflow"),
                ([ParallelStage("one", {"a": inner}, "any")], ValueError, "join_strategy is a JoinStrategy"),
                ([LoopStage("one", 0, one)], ValueError, "max_iterations is from 1"),
                ([LoopStage("one", 1, inner)], TypeError, "inner is a Stage or a ParallelStage"),
                ([LoopStage("one", 1, one, done_at_bound=1)], TypeError, "done_at_bound is True or False"),
                ([LoopStage("one", 1, one, until=2)], TypeError, "until is a function"),
            ):
                with self.subTest(message), self.assertRaisesRegex(kind, message):
                    built(*stages)
            with self.assertRaisesRegex(TypeError, "stage is a Stage, not"):
                PipelineBuilder("pipeline").stage(inner)
            with self.assertRaisesRegex(ValueError, "limits is one of"):
                PipelineBuilder("pipeline", limits={"rounds": 1})
            with self.assertRaisesRegex(ValueError, "session_pause_policy is one of"):
                PipelineBuilder("pipeline", session_pause_policy="none")

    def test_answers_that_do_not_fit(self):
        def event(last):
            return blazen.Event("Other")

        loop = LoopStage("one", 2, Stage("", adding(1)), until=lambda last: True)
        for stage, message in (
            (Stage("one", adding(1), condition=lambda last: 1), "true or false"),
            (Stage("one", adding(1), input_mapper=event), "input returns what the workflow is run with, and no event"),
            (Stage("one", adding(1), output=event), "output returns the result of the stage, and no event"),
            (loop, "again"),
        ):
            with self.subTest(message):
                self.assertIn(message, str(self.failure("pump", built(stage), 1)))

    def test_a_run_of_no_pipeline_has_no_stages(self):
        with blazen.Runtime("pump") as runtime:
            run = runtime.run(doubling(), 1)
            with self.assertRaises(blazen.BlazenError) as caught:
                run.stages()
            self.assertEqual(caught.exception.status, blazen.Status.WRONG_STATE)

    def test_a_pipeline_that_is_a_step_has_stages_there(self):
        with nothing_left(self), blazen.Runtime("pump") as runtime:
            run = runtime.run(around(built(Stage("one", asking()))), 1)
            asked(run)
            child = run.child(run.describe()["children"][0]["run"]["run_id"])
            self.assertEqual(statuses(child), {"one": "running"})
            del run, child, runtime


if __name__ == "__main__":
    unittest.main()
