"""Sessions and their states, rooms and their fan-out, the shard that owns and decides about both, and how newcomers get in.

It may import `values`, `wire`, `mesh`, `bus` and `transport`; what happens in other processes reaches it as calls of its runtime.
Begin with `state`, a session's whole life as one table, then `session` and `shard`; README.md tells how they fit together.
"""
