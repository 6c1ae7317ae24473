"""`wspulse.client`: a line to a server that comes back by itself and, to one that can, loses nothing (subprotocol `wspulse.1`).

It runs in programs that are not servers, so it may import `values` alone, and nothing of the server imports it. Begin with
`line.py`, which users hold; what decides without a socket is `session`, `outbox`, `delays` and `ending`.
"""
