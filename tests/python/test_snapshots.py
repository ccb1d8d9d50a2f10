"""A run goes on from its snapshot, in another process too, with nothing lost and nothing done twice."""

import tempfile
import threading
import unittest
from pathlib import Path

from support import TIMEOUT_S, blazen, needs_threads, run_python
from travel import Journey, journey


class TwoArguments(Exception):
    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")


class Unmakeable:
    def __init__(self, host):
        self.host = host

    def __reduce__(self):
        return Unmakeable, (self.host, "one too many")


class Gone:
    pass


def keeping(thing, **options):
    """A workflow that keeps an object in its session, and says at "Go" what is there."""
    workflow = blazen.Workflow("keeping", idle="wait", **options)
    workflow.step(name="keep", accepts=blazen.START_EVENT)(lambda ctx, event: ctx.session.update(thing=thing))
    workflow.step(name="go", accepts="Go")(lambda ctx, event: blazen.StopEvent(ctx.session.get("thing")))
    return workflow


class SnapshotsTest(unittest.TestCase):
    def test_a_fresh_process_goes_on(self):
        with blazen.Runtime(mode="pump") as runtime, tempfile.TemporaryDirectory() as folder:
            run = runtime.run(journey(here="depart"), ["Rome", "Oslo"])
            self.assertEqual(run.wait(TIMEOUT_S), blazen.RunState.ELSEWHERE)
            self.assertEqual(run.elsewhere(), ["visit"])
            path = Path(folder) / "snapshot"
            path.write_bytes(run.snapshot())
            self.assertEqual(run_python(Path(__file__).with_name("travel.py"), path), f"{run.id} Rome Oslo home\n")

    def test_the_objects_are_those_that_were_kept(self):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(journey(here="depart"), ["Rome"])
            run.wait(TIMEOUT_S)
            again = runtime.resume(journey(here="visit"), run.snapshot())
            again.start()
            self.assertEqual(again.result(TIMEOUT_S), Journey(["Rome", "home"]))

    def test_the_same_point_gives_the_same_bytes(self):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(journey(here="depart"), ["Rome"])
            run.wait(TIMEOUT_S)
            first = run.snapshot()
            self.assertEqual(run.snapshot(), first)
            self.assertEqual(runtime.resume(journey(here="visit"), first).snapshot(), first)

    def test_what_is_in_it(self):
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.create(journey(here="depart"), metadata={"who": "me"})
            run.start(["Rome", "Oslo"])
            run.wait(TIMEOUT_S)
            snapshot = run.snapshot()
            info = blazen.snapshot_info(snapshot)
            self.assertEqual((info["run_id"], info["queued"], info["in_flight"]), (run.id, 2, 0))
            again = runtime.resume(journey(here="visit"), snapshot)
            for metadata in (run.metadata, blazen.snapshot_metadata(snapshot), again.metadata):
                self.assertEqual(metadata, {"who": "me"})
            self.assertIsNone(runtime.create(journey(here="depart")).metadata)

    @needs_threads
    def test_an_open_invocation_runs_again_under_its_id(self):
        ids, held, finishing = [], [], threading.Event()
        workflow = blazen.Workflow("held")

        @workflow.step(accepts=blazen.START_EVENT)
        def hold(ctx, event):
            ids.append(ctx.invocation_id)
            ctx.send_event(blazen.Event("Noted", "once"))
            if finishing.is_set():
                return blazen.Event("Held")
            held.append(ctx.defer())

        @workflow.step(accepts="Noted")
        def note(ctx, event):
            ctx.state["notes"] = ctx.state.get("notes", 0) + 1

        workflow.step(name="end", accepts="Held")(lambda ctx, event: blazen.StopEvent(ctx.state["notes"]))
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            runtime.poll()
            snapshot = run.snapshot()
            self.assertEqual(blazen.snapshot_info(snapshot)["in_flight"], 1)
            run.close()
            finishing.set()
            again = runtime.resume(workflow, snapshot)
            again.start()
            self.assertEqual(again.result(TIMEOUT_S), 1)
            self.assertEqual(ids, [1, 1])

    def test_an_object_that_does_not_pickle_cannot_be_in_it(self):
        workflow = blazen.Workflow("live", idle="wait")
        workflow.step(name="start", accepts=blazen.START_EVENT)(lambda ctx, event: ctx.session.update(lock=threading.Lock()))
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            runtime.poll()
            with self.assertRaises(blazen.BlazenError) as caught:
                run.snapshot()
            self.assertEqual(caught.exception.status, blazen.Status.NOT_SERIALIZABLE)
            self.assertIn("lock", str(caught.exception))

    def test_an_object_that_does_not_unpickle_cannot_be_in_it(self):
        """Pickled as one argument, an exception with two is never made again: better said now than at the resume."""
        for thing in (TwoArguments(3, "x"), Unmakeable("db")):
            for policy, dropped in (("pickle_or_error", None), ("pickle_or_serialize", ["session 'thing'"])):
                with self.subTest(thing=thing, policy=policy), blazen.Runtime(mode="pump") as runtime:
                    run = runtime.run(keeping(thing, session_pause_policy=policy))
                    runtime.poll()
                    if dropped is None:
                        with self.assertRaisesRegex(blazen.BlazenError, "session 'thing'.*cannot unpickle") as caught:
                            run.snapshot()
                        self.assertEqual(caught.exception.status, blazen.Status.NOT_SERIALIZABLE)
                    else:
                        self.assertEqual(blazen.snapshot_info(run.snapshot())["dropped"], dropped)

    def test_a_failed_run_whose_exception_does_not_unpickle(self):
        workflow = blazen.Workflow("fails")

        @workflow.step(accepts=blazen.START_EVENT)
        def fail(ctx, event):
            raise TwoArguments(3, "x")

        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(workflow)
            run.wait(TIMEOUT_S)
            with self.assertRaisesRegex(blazen.BlazenError, "cannot unpickle"):
                run.snapshot()

    def test_what_no_longer_unpickles_is_left_out_where_that_was_chosen(self):
        """The class is gone when the run is resumed, as in a process that does not have it."""
        with blazen.Runtime(mode="pump") as runtime:
            workflow = keeping(Gone())
            run = runtime.run(workflow)
            runtime.poll()
            snapshot = run.snapshot()
            kept = globals().pop("Gone")
            try:
                with self.assertRaisesRegex(blazen.BlazenError, "session 'thing' cannot be made again") as caught:
                    runtime.resume(workflow, snapshot)
                self.assertEqual(caught.exception.status, blazen.Status.NOT_SERIALIZABLE)
                again = runtime.resume(workflow, snapshot, unknown_label="skip")
            finally:
                globals()["Gone"] = kept
            self.assertEqual(again.dropped(), ["session 'thing'"])
            again.start()
            again.send_event(blazen.Event("Go"))
            self.assertIsNone(again.result(TIMEOUT_S))

    def test_another_workflow_is_refused(self):
        other = blazen.Workflow("journey")
        other.step(name="depart", accepts=blazen.START_EVENT)(lambda ctx, event: None)
        with blazen.Runtime(mode="pump") as runtime:
            run = runtime.run(journey(here="depart"), ["Rome"])
            run.wait(TIMEOUT_S)
            with self.assertRaises(blazen.BlazenError) as caught:
                runtime.resume(other, run.snapshot())
            self.assertEqual(caught.exception.status, blazen.Status.SNAPSHOT_MISMATCH)


if __name__ == "__main__":
    unittest.main()
