from pydantic import BaseModel
class UserProfile(BaseModel):
    name: str
    score: float
class NextEvent(Event):
    pass
@step
async def store_data(ctx: Context, ev: Event):
    # JSON-serializable values (stored as JSON)
    ctx.set("user_id", "user_123")
    ctx.set("doc_count", 5)
    ctx.set("tags", ["admin", "active"])
    # Raw bytes (stored as binary)
    ctx.set("thumbnail", b"\x89PNG\r\n...")
    # Pydantic model (pickled automatically)
    ctx.set("profile", UserProfile(name="Alice", score=0.95))
    return NextEvent()
@step
async def use_data(ctx: Context, ev: NextEvent):
    user_id = ctx.get("user_id") # str
    doc_count = ctx.get("doc_count") # int
    thumbnail = ctx.get("thumbnail") # bytes
    profile = ctx.get("profile") # UserProfile
    return StopEvent(result={"user": user_id, "name": profile.name})
