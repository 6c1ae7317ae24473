"""Sessions on their way to another process, while their sockets stay open: the two ends of a move, and who conducts one.

It may import everything up to `sessions`. Begin with README.md, then `departure` (the source) and `arrival` (the target).
"""
