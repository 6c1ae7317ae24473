"""One shard put together in the process that hosts it: started, reached by messages, drained and stopped in order.

It may import everything up to `events`, and of the server that it serves knows what `served` says.
Begin with `runtime`; `event_feed` and `loop_lag` are what it knows of itself.
"""
