"""The gateway for what is not a room's message: who has a connection id, and calls from host to host. It may import what stands
beside it in `cluster`, and `control.shard_links`. Begin with `office`.
"""
