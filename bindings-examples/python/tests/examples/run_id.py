run_id = ctx.run_id() # Synchronous, returns a UUID string
