"""Measures whichever package `blazen` this interpreter has: prints {line: nanoseconds} as JSON. See compare.py."""

import asyncio
import json
import statistics
import time
from dataclasses import dataclass

from blazen import Context, Event, StartEvent, StopEvent, Workflow, step

CALLS, CALLS_PUBLISHED, CHAIN, RUNS, FAN = 20_000, 2_000, 2_000, 300, 1_000
found: dict[str, float] = {}


@dataclass
class Point:
    x: int
    y: int


class Tick(Event):
    pass


class Done(Event):
    pass


def calls(name, function, count=CALLS):
    """The time of one call, less that of a call of nothing."""
    rounds = []
    for _ in range(7):
        started = time.perf_counter_ns()
        for _ in range(count):
            function()
        rounds.append((time.perf_counter_ns() - started) / count)
    found[name] = statistics.median(rounds) - found.get("nothing", 0)


@step
async def context_calls(ctx: Context, ev: StartEvent):
    calls("nothing", lambda: None)
    for name, value in {
        "int": 5,
        "str": "user_123",
        "list": ["admin", "active"],
        "dict": {"a": 1, "b": "x", "c": [1, 2, 3]},
        "bytes": b"12345678",
        "dataclass": Point(1, 2),
    }.items():
        ctx.set("key", value)
        calls(f"ctx.set, {name}", lambda: ctx.set("key", value))
        calls(f"ctx.get, {name}", lambda: ctx.get("key"))
    event = Tick(n=1)
    calls("write_event_to_stream", lambda: ctx.write_event_to_stream(event), CALLS_PUBLISHED)
    calls("write_event_to_stream, a new event", lambda: ctx.write_event_to_stream(Tick(n=1)), CALLS_PUBLISHED)
    calls("an event is made", lambda: Tick(n=1))
    calls("a field is read", lambda: event.n)
    calls("ctx.run_id", lambda: ctx.run_id())
    found.pop("nothing")
    return StopEvent(result=None)


@step
async def begin(ctx: Context, ev: StartEvent):
    return Tick(n=0)


@step
async def go(ctx: Context, ev: Tick):
    return StopEvent(result=None) if ev.n == CHAIN else Tick(n=ev.n + 1)


@step
def begin_sync(ctx: Context, ev: StartEvent):
    return Tick(n=0)


@step
def go_sync(ctx: Context, ev: Tick):
    return StopEvent(result=None) if ev.n == CHAIN else Tick(n=ev.n + 1)


@step
async def fan(ctx: Context, ev: StartEvent):
    return [Tick(n=n) for n in range(FAN)]


@step
async def child(ctx: Context, ev: Tick):
    return Done(n=ev.n)


arrived = 0


@step
async def count(ctx: Context, ev: Done):
    global arrived
    arrived += 1
    return StopEvent(result=None) if arrived % FAN == 0 else None


@step
async def only(ctx: Context, ev: StartEvent):
    return StopEvent(result=None)


async def runs(name, workflow, items, times=1):
    """The time of one item."""
    await workflow.run()
    rounds = []
    for _ in range(5):
        started = time.perf_counter_ns()
        for _ in range(times):
            await workflow.run()
        rounds.append((time.perf_counter_ns() - started) / items)
    found[name] = statistics.median(rounds)


async def bare():
    """A coroutine that a loop calls as a task, and a function that it calls back: what a step could cost at best."""
    loop = asyncio.get_running_loop()

    async def nothing():
        return None

    rounds = []
    for _ in range(5):
        started = time.perf_counter_ns()
        for _ in range(CHAIN):
            await loop.create_task(nothing())
        rounds.append((time.perf_counter_ns() - started) / CHAIN)
    found["a task of asyncio, bare"] = statistics.median(rounds)


async def main():
    await Workflow("calls", [context_calls]).run()
    await bare()
    await runs("async step in a chain", Workflow("chain", [begin, go]), CHAIN)
    await runs("sync step in a chain", Workflow("chain", [begin_sync, go_sync]), CHAIN)
    await runs("child of a fan-out", Workflow("fan", [fan, child, count]), FAN)
    await runs("short run", Workflow("short", [only]), RUNS, RUNS)
    print(json.dumps(found))


asyncio.run(main())
