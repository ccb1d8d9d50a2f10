@step
async def store(ctx: Context, ev: Event):
    ctx.set("model", b"\x00\x01\x02...") # stored as raw bytes
    return NextEvent()
@step
async def load(ctx: Context, ev: NextEvent):
    raw = ctx.get("model") # bytes
    return StopEvent(result=raw)
