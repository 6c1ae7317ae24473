"""What a shard gets of the bus: the drain of its socket, and the rooms and cuts that it has subscribed to.

It may import what the bus's own files may, and nothing of `publishing`. Begin with `receiver`; `subscriptions` has the barrier.
"""
