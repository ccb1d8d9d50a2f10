ctx.write_event_to_stream(ProgressEvent(...)) # Synchronous, external broadcast
