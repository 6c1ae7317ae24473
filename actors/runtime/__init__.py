"""One shard put together in the process that hosts it: started, reached by messages, drained and stopped in order.

It may import everything up to `events`, and of the server that it serves knows what `served` says, of what the applications
that ship bring along the hooks of `extension`.
Begin with `runtime`, which says what a shard consists of, then `dispatch` (what messages mean) and `closing` (how it ends);
`siblings` joins it to the other shards. `statistics`, `event_feed` and `loop_lag` are what it knows of itself.
"""
