"""A run with runs inside it that two processes share, for test_children.py: `nested.py SNAPSHOT` answers what is asked
inside, and prints the result."""

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


def trip(is_here=True):
    """Goes to two cities at once, in a run inside a run: each result comes by its branch."""
    region = blazen.Workflow("region")
    branches = {"north": visit(is_here), "south": visit(is_here)}
    region.subworkflows("visits", branches, accepts=blazen.START_EVENT, emits=blazen.STOP_EVENT, output=nights)
    workflow = blazen.Workflow("trip")
    workflow.subworkflow(
        "tour", region, accepts=blazen.START_EVENT, emits=blazen.STOP_EVENT, input=lambda event: event.value["city"]
    )
    return workflow


def nights(stays):
    return {branch: [stay.city, stay.nights] for branch, stay in stays.items()}


def main(path):
    # The pickled Stay is of the module `nested`, not of `__main__`.
    import nested

    with blazen.Runtime(mode="pump") as runtime:
        run = runtime.resume(nested.trip(), Path(path).read_bytes())
        run.start()
        run.wait(support.TIMEOUT_S, [blazen.RunState.ASKING])
        for number, question in enumerate(run.questions(), 1):
            run.respond(question["request_id"], number)
        print(run.id, run.result(support.TIMEOUT_S))


if __name__ == "__main__":
    main(sys.argv[1])
