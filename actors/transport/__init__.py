"""The socket that carries a session now: cutting what comes, writing what goes, heartbeat, close handshake.

It may import `values` and `wire`; what it needs of the session and the shard above it stands in `contract`.
Begin with `state`, its whole life as one table, then `transport`, the shell around a socket; `refusal` is what becomes of one
that may not stay, and `transfer` how one moves to another process.
"""
