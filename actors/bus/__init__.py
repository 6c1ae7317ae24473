"""The room bus: how a broadcast reaches every shard, in one order for all.

It may import `values` and of `mesh` the deadline of asks; it knows rooms by their ids and nothing of sessions.
Begin with `contract`, which `local` (one shard) and `zmq` (several) implement; README.md tells of order, barrier and flow.
"""
