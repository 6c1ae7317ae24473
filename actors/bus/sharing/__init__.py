"""The way of a process that was alone onto the bus of several, and back, while it serves.

It may import the bus's own files. Begin with `switch`; `opening` and `keeping` are what a shard has for its bus on the way.
"""
