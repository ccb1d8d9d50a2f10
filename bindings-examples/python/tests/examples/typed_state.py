import sqlite3
from dataclasses import dataclass, field
from blazen import BlazenState, Context, Event, StartEvent, StopEvent, step, Workflow
@dataclass
class PipelineState(BlazenState):
    input_path: str = ""
    doc_count: int = 0
    conn: sqlite3.Connection | None = None
    class Meta:
        transient = {"conn"}
        store_by = {}
    def restore(self):
        if self.input_path:
            self.conn = sqlite3.connect(self.input_path)
class ProcessEvent(Event):
    pass
@step
async def setup(ctx: Context, ev: Event):
    state = PipelineState(input_path="/tmp/data.db", doc_count=0)
    state.restore() # Opens the sqlite3 connection
    ctx.set("state", state)
    return ProcessEvent()
@step
async def process(ctx: Context, ev: ProcessEvent):
    state = ctx.get("state") # PipelineState with all fields restored
    cursor = state.conn.cursor() # Transient field recreated by restore()
    cursor.execute("SELECT count(*) FROM docs")
    state.doc_count = cursor.fetchone()[0]
    ctx.set("state", state) # Persist updated state
    return StopEvent(result={"docs": state.doc_count})
