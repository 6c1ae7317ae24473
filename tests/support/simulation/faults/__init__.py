"""Faults that a session, a shard or a buffer could have, to be planted into the real code: does the simulation find them?

Each is the smallest change that makes the mistake, and stands with its name in the file of what it spoils; `planting` makes
one for as long as a context is open.
"""
