"""The shards of other hosts as counterparts of this one: who they are, and what they are told, which is never lost unnoticed.

It may import everything up to `moving`, and of `cluster` what its gateway is. Begin with `shards`.
"""
