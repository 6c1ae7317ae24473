"""Exact sessions, subprotocol `wspulse.1`: nothing comes twice, nothing is lost from the client, and what the bounds push out
towards it is told. `log` and `token` decide and touch no socket; `inbox` counts what is taken, `session` sends what is not
acknowledged again.

It may import `values`, `wire`, `transport` and `sessions` but the shard and its admission. Begin to read at `session`.
"""
