ctx.send_event(ContinueEvent()) # Synchronous, routes manually
return None # Don't return an event when using send_event
