"""Nothing is left: what the compiled layer holds is counted at the end, with finalizers in any order."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, gc, random, sys, threading
from blazen import *
from blazen import _blazen

class Part(Event):
    pass

class Done(Event):
    pass

@step
async def begin(ctx, ev: StartEvent):
    ctx.set("a", {"x": [1]})
    ctx.set("big", b"x" * 10_000)
    ctx.set("tuple", (1, 2))
    ctx.session["lock"] = threading.Lock()
    for n in range(3):
        ctx.write_event_to_stream(Event("Out", n=n, data=b"x"))
    return [Part(n=n, lock=threading.Lock()) for n in range(3)]

@step
def work(ctx, ev: Part):
    if ev.n == 2:
        raise ValueError(ev.n)
    return Done(n=ev.n)

@step
async def rescue(ctx, ev: StepFailedEvent):
    return Done(n=-1)

@step(joins="begin")
async def end(ctx, ev: Done):
    return StopEvent(result=object())

@step
async def ask(ctx, ev: StartEvent):
    return StopEvent(result=await ctx.ask("?"))

@step
async def fail(ctx, ev: StartEvent):
    raise ValueError(ctx)

async def main():
    whole = Workflow("whole", [begin, work, rescue, end], session_pause_policy="pickle_or_serialize")
    asks, fails = Workflow("asks", [ask]), Workflow("fails", [fail])
    outer = Workflow("outer", [subworkflow("inner", whole, accepts=StartEvent, emits=StopEvent)])
    pipeline = PipelineBuilder("p").stage(Stage("one", whole, output=lambda result: 5)).build()
    for _ in range(5):
        kept = []
        handler = whole.run_with_handler(a=1)
        stream = handler.stream_events()
        async for event in stream:
            kept.append(event)
        kept += [handler, stream, await handler.result(), handler.snapshot()]
        waiting = asks.run_with_handler()
        await waiting.wait(RunState.ASKING)
        snapshot = await waiting.pause()
        waiting.abort()
        again = asks.resume(snapshot)
        await again.wait(RunState.ASKING)
        again.respond_to_input(again.questions()[0]["request_id"], threading.Lock())
        kept += [waiting, again, await again.result(), asks.resume(snapshot)]
        try:
            await fails.run()
        except ValueError as exception:
            kept.append(exception)
        kept += [await outer.run(), await pipeline.run({})]
        left = whole.run_with_handler()
        kept.append(left.stream_events())
        random.shuffle(kept)
        while kept:
            kept.pop()

random.seed(int(sys.argv[1]))
logging = __import__("logging").getLogger("blazen").setLevel(100)
asyncio.run(main())
del begin, work, rescue, end, ask, fail
for _ in range(5):
    gc.collect()
print(_blazen.alive())
"""


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_left(seed):
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM, str(seed)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "(0, 0, 0)\n"), done.stdout + done.stderr
