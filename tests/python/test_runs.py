"""Fan-out, both modes, streams, events from outside, and a library that holds nothing afterwards."""

import threading
import unittest

from support import TIMEOUT_S, blazen, needs_threads, nothing_left, one_step, result_of

MODES = ({"mode": "pump"}, {"mode": "threads", "threads": 1}, {"mode": "threads", "threads": 4})


def fan_out(width):
    """Sends `width` events at once, and sums their squares."""
    workflow = blazen.Workflow("fan out")

    @workflow.step(accepts=blazen.START_EVENT)
    def spread(ctx, event):
        ctx.state.update(left=width, total=0)
        return [blazen.Event("Item", number) for number in range(width)]

    @workflow.step(accepts="Item", max_concurrency=3)
    def square(ctx, event):
        ctx.publish(blazen.Event("Progress", event.value))
        return blazen.Event("Squared", event.value**2)

    @workflow.step(accepts=["Squared"], max_concurrency=1)
    def add(ctx, event):
        ctx.state.update(left=ctx.state["left"] - 1, total=ctx.state["total"] + event.value)
        return blazen.StopEvent(ctx.state["total"]) if ctx.state["left"] == 0 else None

    return workflow


class RunsTest(unittest.TestCase):
    def test_fan_out_in_every_mode(self):
        for runtime in MODES:
            with self.subTest(**runtime), nothing_left(self):
                self.assertEqual(result_of(fan_out(50), **runtime), sum(n * n for n in range(50)))

    def test_a_workflow_describes_and_draws_itself(self):
        workflow = fan_out(1)
        said = workflow.describe()
        self.assertEqual((said["name"], said["fingerprint"]), ("fan out", workflow.fingerprint))
        self.assertEqual([step["name"] for step in said["steps"]], ["spread", "square", "add"])
        self.assertEqual([step["max_concurrency"] for step in said["steps"]], [0, 3, 1])
        self.assertIn('begin -- "blazen::StartEvent" --> n0\n', workflow.draw())
        self.assertIn('begin -> n0 [label="blazen::StartEvent"];\n', workflow.draw("dot"))

    def test_poll_runs_steps_on_this_thread(self):
        threads = []
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(one_step(lambda ctx, event: threads.append(threading.get_ident())))
            self.assertEqual(runtime.poll(), 1)
            self.assertEqual(run.state, blazen.RunState.COMPLETED)
        self.assertEqual(threads, [threading.get_ident()])

    @needs_threads
    def test_threads_are_the_engines(self):
        barrier = threading.Barrier(2, timeout=TIMEOUT_S)
        workflow = blazen.Workflow("meeting")
        workflow.step(name="start", accepts=blazen.START_EVENT)(lambda ctx, event: [blazen.Event("Meet")] * 2)

        @workflow.step(accepts="Meet")
        def meet(ctx, event):
            return blazen.StopEvent("met") if barrier.wait() == 0 else None

        self.assertEqual(result_of(workflow, mode="threads", threads=2), "met")

    def test_runs_share_a_workflow(self):
        workflow = fan_out(5)
        with nothing_left(self), blazen.Runtime() as runtime:
            runs = [runtime.run(workflow) for _ in range(20)]
            self.assertEqual([run.result() for run in runs], [30] * 20)
            del runs

    def test_a_stream_has_everything_in_order_and_ends(self):
        for mode in MODES:
            with self.subTest(**mode), nothing_left(self), blazen.Runtime(**mode) as runtime:
                run = runtime.create(fan_out(30))
                stream, again = run.stream(), run.stream()
                run.start()
                items = list(stream)
                self.assertEqual([item.sequence for item in items], list(range(1, 31)))
                self.assertEqual(sorted(item.value for item in items), list(range(30)))
                self.assertEqual({(item.type, item.source) for item in items}, {("Progress", "square")})
                self.assertEqual(list(again), items)
                self.assertEqual(list(stream), [])
                del run, stream, again

    def test_a_stream_of_a_failed_run_ends(self):
        with blazen.Runtime() as runtime:
            run = runtime.create(one_step(lambda ctx, event: 1 // 0))
            stream = run.stream()
            run.start()
            self.assertEqual(list(stream), [])

    def test_waiting_has_a_deadline(self):
        workflow = blazen.Workflow("waits", idle="wait")
        workflow.step(name="start", accepts=blazen.START_EVENT)(lambda ctx, event: None)
        workflow.step(name="end", accepts="End")(lambda ctx, event: blazen.StopEvent(event.value))
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            with self.assertRaises(TimeoutError):
                run.wait(0.01)
            self.assertEqual(run.state, blazen.RunState.WAITING)
            run.send_event(blazen.Event("End", "out"), step="end")
            self.assertEqual(run.result(TIMEOUT_S), "out")

    def test_send_to_one_step(self):
        workflow = blazen.Workflow("one of two")

        @workflow.step(accepts=blazen.START_EVENT)
        def start(ctx, event):
            ctx.send_event(blazen.Event("Go", 1, correlation="c"), step="second")

        @workflow.step(accepts="Go")
        def first(ctx, event):
            return blazen.StopEvent("first")

        @workflow.step(accepts="Go")
        def second(ctx, event):
            return blazen.StopEvent([event.value, event.correlation, event.source, event.id])

        self.assertEqual(result_of(workflow), [1, "c", "start", 2])

    def test_closing_cancels(self):
        entered, told, returned = threading.Event(), threading.Event(), []

        def step(ctx, event):
            ctx.on_cancel(told.set)
            entered.set()
            told.wait(TIMEOUT_S)
            returned.append(ctx.is_cancelled)

        if not blazen.has_feature("threads"):
            self.skipTest("the library has no threads")
        with nothing_left(self), blazen.Runtime(threads=1) as runtime:
            run = runtime.run(one_step(step))
            entered.wait(TIMEOUT_S)
            run.close()
            self.assertEqual(returned, [True], "it waits until the body has returned")
            with self.assertRaises(blazen.BlazenError) as caught:
                run.result()
            self.assertEqual(caught.exception.status, blazen.Status.CANCELLED)
            del run, caught

    def test_nothing_is_left(self):
        """Steps, LIVE results, sessions, exceptions and streams: the library drops each of them."""
        with nothing_left(self):
            with blazen.Runtime() as runtime:
                for _ in range(10):
                    run = runtime.create(one_step(lambda ctx, event: ctx.session.update(a=object(), b=[]) or object()))
                    stream = run.stream()
                    run.start()
                    run.result()
                    failed = runtime.run(one_step(lambda ctx, event: 1 // 0))
                    with self.assertRaises(blazen.BlazenError):
                        failed.result()
            del run, stream, failed, runtime

    def test_leaving_things_open_at_exit_is_no_crash(self):
        from support import run_python

        script = """
import blazen
workflow = blazen.Workflow("ticks")
workflow.step(name="start", accepts=[blazen.START_EVENT, "Tick"])(lambda ctx, event: blazen.Event("Tick"))
runtime = blazen.Runtime(threads=2)
run = runtime.run(workflow)
stream = run.subscribe(lifecycle=True)
for _ in range(1000):
    stream.next()
print("left")
"""
        self.assertEqual(run_python("-c", script), "left\n")


if __name__ == "__main__":
    unittest.main()
