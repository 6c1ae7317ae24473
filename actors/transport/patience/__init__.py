"""How long a peer has: to answer a ping, to take what is written to it, to end when it was told to.

Machines that the shard's ticker calls; they see the transport through protocols of their own and may import `values`, its
states and its record.
Begin with `heartbeat`.
"""
