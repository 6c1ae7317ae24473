"""The gateway's end of the bus: rooms' messages of this host's workers to the feed, and the feed's to the workers.

It may import the forms of the bus's messages and nothing of NATS: the feed is a protocol. Begin with `exchange`; `wanted` knows
which rooms' messages this host wants and how far they have come, `outgoing` what is not acknowledged yet, `held` what has to wait
its turn, `positions` where another gateway is to begin.
"""
