"""The workflow `travel` in Python: see README.md beside it."""

import asyncio
import datetime
import json
import math
import os
import pathlib
import sys
from typing import Any

from blazen import (
    Context,
    Event,
    Foreign,
    InputRequestEvent,
    InputResponseEvent,
    Join,
    Retry,
    RunState,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)

POLICY = os.environ.get("TRAVEL_POLICY", "hard_error")  # with one, something is in the session
CODEC = "python/pickle"
JSON = {
    "name": 'Żółć 🜁 \u0000\n"\\',
    "nested": {"": [1, 2.5, -1e-7, True, None, {}], "__proto__": {"a": []}, "type": "x"},
    "big": [9007199254740993, 18446744073709551615, -9223372036854775808],
}
BYTES = bytes([0, 1, 127, 128, 255])
PLAIN = {"b": b"\x00\xff", "n": [math.nan, -0.0, 1 << 70, -(1 << 70), math.inf, 1.5], "t": "ü"}
DATE = datetime.datetime(2026, 11, 26, 1, 2, 3, tzinfo=datetime.UTC)
TEXT = "\ud800x"  # no UTF-8 holds it
OWN = (1, "zwei")  # a tuple pickles
KEYS = ("json", "bytes", "plain", "date", "text", "own")


def show(thing: Any) -> Any:
    """What is not JSON, as JSON."""
    if isinstance(thing, bytes):
        return {"bytes": thing.hex()}
    if isinstance(thing, float) and (not math.isfinite(thing) or (thing == 0 and math.copysign(1, thing) < 0)):
        return {"float": "-0" if thing == 0 else str(thing)}
    if isinstance(thing, int) and not -(1 << 63) <= thing < 1 << 64:
        return {"int": str(thing)}
    if isinstance(thing, datetime.datetime):
        return {"date": int(thing.timestamp())}
    if isinstance(thing, str) and any("\ud800" <= unit <= "\udfff" for unit in thing):
        return {"utf16": thing.encode("utf-16-be", "surrogatepass").hex()}
    if isinstance(thing, list):
        return [show(item) for item in thing]
    if isinstance(thing, dict):
        return {key: show(item) for key, item in thing.items()}
    return thing


def check_own(codec: str, own: Any) -> None:
    """It is ours, or opaque and of the codec that the writer named."""
    if not (own == OWN if codec == CODEC else isinstance(own, Foreign) and own.codec == codec):
        raise ValueError(f"`own` of codec {codec} came as {own!r}")


def show_own(own: Any) -> str:
    return f"{own[0]} {own[1]}"


@step
async def gather(ctx: Context, ev: StartEvent):
    ctx.state["codec"] = CODEC
    for key, thing in zip(KEYS, (JSON, BYTES, PLAIN, DATE, TEXT, OWN), strict=True):
        ctx.state[key] = thing
    if "TRAVEL_POLICY" in os.environ:
        ctx.session["seat"] = "12 A"
    return [*(Event("Part", n=n) for n in (1, 2, 3)), InputRequestEvent(request_id="first", prompt="first?")]


@step(accepts="Part", retries=Retry(max_attempts=2))
def part(ctx: Context, ev: Event):
    if ev.n == 2 and ctx.attempt == 1:
        raise ValueError("not yet")
    return Event("Done", n=ev.n, attempt=ctx.attempt, raw=bytes([ev.n, 255]))


@step
async def answered(ctx: Context, ev: InputResponseEvent):
    ctx.state["answer"] = ev.response
    return Event("Done", own=ctx.state["own"])


@step(accepts="Done", joins=Join("gather"))
async def finish(ctx: Context, ev: Event):
    events = [each.to_dict() for each in ctx.events()]
    for each in events:
        if "own" in each:
            check_own(ctx.state["codec"], each["own"])
    ctx.state["parts"] = sorted([each["n"], each["attempt"], each["raw"].hex()] for each in events if "n" in each)
    check_own(ctx.state["codec"], ctx.state["own"])
    for key in KEYS:
        ctx.state[f"{key}/again"] = ctx.state[key]
    return Event("Carried", bytes=ctx.state["bytes"], plain=ctx.state["plain"], own=ctx.state["own"])


@step(accepts="Carried")
async def report(ctx: Context, ev: Event):
    second = await ctx.ask("second?", request_id="second")
    carried = ev.to_dict()
    for own in (ctx.state["own"], ctx.state["own/again"], carried["own"]):
        check_own(ctx.state["codec"], own)
    return StopEvent(
        result={
            "state": {key: show(ctx.state[f"{key}/again"]) for key in KEYS[:-1]} | {"own": show_own(ctx.state["own/again"])},
            "carried": {key: show(carried[key]) for key in KEYS[1:3]} | {"own": show_own(carried["own"])},
            "parts": ctx.state["parts"],
            "answers": [ctx.state["answer"], second],
            "seat": ctx.session.get("seat"),
        }
    )


workflow = Workflow(
    "travel",
    [gather, part, answered, finish, report],
    timeout=60,
    session_pause_policy=POLICY,
    session_on_pause="pause",
    unhandled="fail",
    idle="fail",
)


async def save(handler: Any, path: str) -> None:
    pathlib.Path(path).write_bytes(await handler.pause())
    handler.abort()  # here it is over


async def begin(path: str) -> None:
    handler = workflow.run_with_handler()
    if await handler.wait(RunState.ASKING) is not RunState.ASKING:
        await handler.result()  # raises
    await save(handler, path)


async def go_on(path: str, answer: str, out: str | None = None) -> None:
    handler = workflow.resume(pathlib.Path(path).read_bytes())
    if await handler.wait(RunState.ASKING) is RunState.ASKING:
        handler.respond_to_input(handler.questions()[0]["request_id"], answer)
    if out is None:
        print(json.dumps((await handler.result()).result))
    else:
        if await handler.wait(RunState.ASKING) is not RunState.ASKING:
            await handler.result()
            raise SystemExit("the run has ended instead of asking again")
        await save(handler, out)


asyncio.run({"begin": begin, "go-on": go_on}[sys.argv[1]](*sys.argv[2:]))
