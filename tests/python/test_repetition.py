"""What a step sends and asks when it is called again: once for each, whatever differs in it, and never an answer to
something else."""

import itertools
import unittest

from support import TIMEOUT_S, blazen


def reports(stream):
    return [item.value for item in stream if item.type == blazen.LIFECYCLE]


class RepetitionTest(unittest.TestCase):
    def test_what_is_fresh_in_every_attempt_counts_once(self):
        workflow = blazen.Workflow("orders")
        numbers = itertools.count(1)

        @workflow.step(accepts=blazen.START_EVENT, retries=blazen.Retry(3, initial_delay=0))
        def order(ctx, event):
            ctx.send_event(blazen.Event("Ordered", {"number": next(numbers)}))
            if ctx.attempt < 3:
                raise ConnectionError("not yet")
            return blazen.Event("End")

        @workflow.step(accepts="Ordered")
        def ordered(ctx, event):
            ctx.state[f"order {event.value['number']}"] = True

        @workflow.step(accepts="End")
        def end(ctx, event):
            return blazen.StopEvent(list(ctx.state))

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.create(workflow)
            stream = run.stream()
            run.start()
            self.assertEqual(run.result(TIMEOUT_S), ["order 1"])
            self.assertEqual([report["kind"] for report in reports(stream)], ["send_changed", "send_changed"])

    def test_another_prompt_does_not_get_the_answer_to_the_first(self):
        workflow = blazen.Workflow("payments")
        amounts = iter([100, 900, 900])

        @workflow.step(accepts=blazen.START_EVENT)
        def pay(ctx, event):
            amount = next(amounts)
            return blazen.StopEvent([amount, ctx.ask(f"Pay {amount}?")])

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.create(workflow)
            stream = run.stream()
            run.start()
            run.wait(TIMEOUT_S, until=[blazen.RunState.ASKING])
            (first,) = run.questions()
            run.respond(first["request_id"], "yes")
            run.wait(TIMEOUT_S, until=[blazen.RunState.ASKING])
            (second,) = run.questions()
            self.assertEqual((first["prompt"], second["prompt"]), ("Pay 100?", "Pay 900?"))
            run.respond(second["request_id"], "no")
            self.assertEqual(run.result(TIMEOUT_S), [900, "no"])
            (report,) = reports(stream)
        self.assertEqual(report["kind"], "send_diverged")
        self.assertEqual((report["instead_of"], report["request_id"]), (first["request_id"], second["request_id"]))

    def test_another_prompt_under_the_same_given_id_is_a_conflict(self):
        workflow = blazen.Workflow("payments")
        amounts = iter([100, 900])

        @workflow.step(accepts=blazen.START_EVENT)
        def pay(ctx, event):
            return blazen.StopEvent(ctx.ask(f"Pay {next(amounts)}?", request_id="pay"))

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            run.wait(TIMEOUT_S, until=[blazen.RunState.ASKING])
            run.respond("pay", "yes")
            with self.assertRaisesRegex(blazen.BlazenError, "another question under 'pay'") as caught:
                run.result(TIMEOUT_S)
        self.assertEqual(caught.exception.__cause__.status, blazen.Status.CONFLICT)


if __name__ == "__main__":
    unittest.main()
