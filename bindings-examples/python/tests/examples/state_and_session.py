import sqlite3
from blazen import step, Context, StartEvent, StopEvent
@step
async def setup(ctx: Context, ev: StartEvent) -> StopEvent:
    # Persistable state — survives pause/resume and checkpoints.
    ctx.state["input_path"] = "data.csv"
    ctx.state["row_count"] = 0
    # Live in-process references — identity is preserved.
    conn = sqlite3.connect(":memory:")
    ctx.session["db"] = conn
    assert ctx.session["db"] is conn # same object, always
    return StopEvent(result={"ok": True})
