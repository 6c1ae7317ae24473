"""The socket that carries a session now: cutting what comes, writing what goes, heartbeat, close handshake.

It may import `values` and `wire`; what it needs of the session and the shard above it stands in `contract`.
Begin with `state`, then `transport`, the one shell around a socket among all that decides.
"""
