"""A run that two processes share, for test_snapshots.py: one departs, this script visits. `travel.py SNAPSHOT`"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import support  # noqa: F401
import blazen


@dataclass
class Journey:
    places: list = field(default_factory=list)


def depart(ctx, event):
    ctx.state["journey"] = Journey()
    ctx.state["left"] = len(event.value)
    return [blazen.Event("Place", place) for place in event.value]


def visit(ctx, event):
    seen, left = ctx.state["journey"], ctx.state["left"] - 1
    seen.places.append(event.value)
    ctx.state.update(journey=seen, left=left)
    if left == 0:
        return blazen.StopEvent(Journey(seen.places + ["home"]))


def journey(here):
    """The workflow with one of its steps here, and the other elsewhere."""
    workflow = blazen.Workflow("journey")
    for body, accepts in ((depart, blazen.START_EVENT), (visit, "Place")):
        if body.__name__ == here:
            workflow.step(accepts=accepts, max_concurrency=1)(body)
        else:
            workflow.elsewhere(body.__name__, accepts=accepts, max_concurrency=1)
    return workflow


def main(path):
    # The pickled Journey is of the module `travel`, not of `__main__`.
    import travel

    with blazen.Runtime(mode="pump") as runtime:
        run = runtime.resume(travel.journey(here="visit"), Path(path).read_bytes())
        run.start()
        print(run.id, *run.result().places)


if __name__ == "__main__":
    main(sys.argv[1])
