"""A run with runs inside it that processes share, for test_children.py: `nested.py SNAPSHOT` answers what is asked inside, and
prints the result; `nested.py ROLE SNAPSHOT NEXT_SNAPSHOT` goes on as far as it can and hands the run on. The ROLE is what this
process hosts: "outside" does not have the workflow inside, "inside" has it, but for a step of it."""

import sys
from dataclasses import dataclass
from pathlib import Path

import support  # noqa: F401
import blazen


@dataclass
class Stay:
    """Pickles, and so travels in the state of a run inside, as the value of an event, and as a result."""

    city: str
    nights: int = 0


def arrive(ctx, event):
    ctx.state["stay"] = Stay(event.value)
    return blazen.Event("Arrived")


def lodge(ctx, event):
    stay = ctx.state["stay"]
    return blazen.StopEvent(Stay(stay.city, ctx.ask(f"How many nights in {stay.city}?", request_id="nights")))


def visit(is_here=True):
    """Arrives, and asks how long to stay. The step that asks is here, or elsewhere."""
    workflow = blazen.Workflow("visit")
    workflow.step(accepts=blazen.START_EVENT)(arrive)
    if is_here:
        workflow.step(accepts="Arrived")(lodge)
    else:
        workflow.elsewhere("lodge", accepts="Arrived")
    return workflow


def trip(is_here=True, has_tour=True):
    """Goes to two cities at once, in a run inside a run: each result comes by its branch. The step that asks, and the tour as
    a whole, are here, or elsewhere."""
    region = blazen.Workflow("region")
    branches = {"north": visit(is_here), "south": visit(is_here)}
    region.subworkflows("visits", branches, accepts=blazen.START_EVENT, emits=blazen.STOP_EVENT, output=nights)
    workflow = blazen.Workflow("trip")
    workflow.step(name="start", accepts=blazen.START_EVENT)(lambda ctx, event: blazen.Event("Tour", event.value["city"]))
    if has_tour:
        workflow.subworkflow("tour", region, accepts="Tour")
    else:
        workflow.elsewhere("tour", accepts="Tour")
    workflow.step(name="end", accepts="tour::output")(lambda ctx, event: blazen.StopEvent(event.value))
    return workflow


def nights(stays):
    return {branch: [stay.city, stay.nights] for branch, stay in stays.items()}


def answer(path):
    with blazen.Runtime(mode="pump") as runtime:
        run = runtime.resume(trip(), Path(path).read_bytes())
        run.start()
        run.wait(support.TIMEOUT_S, [blazen.RunState.ASKING])
        for number, question in enumerate(run.questions(), 1):
            run.respond(question["request_id"], number)
        print(run.id, run.result(support.TIMEOUT_S))


def hand_on(role, path, next_path):
    with blazen.Runtime(mode="pump") as runtime:
        run = runtime.resume(trip(is_here=False, has_tour=role == "inside"), Path(path).read_bytes())
        run.start()
        run.wait(support.TIMEOUT_S)
        print(sorted(run.elsewhere()))
        Path(next_path).write_bytes(run.snapshot())


if __name__ == "__main__":
    # The pickled Stay is of the module `nested`, not of `__main__`.
    import nested

    if len(sys.argv) == 2:
        nested.answer(sys.argv[1])
    else:
        nested.hand_on(*sys.argv[1:])
