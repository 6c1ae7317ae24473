"""A worker's half of a cluster of hosts: what it knows and asks of the others. It may import everything up to `moving`.

Begin with `lease`, which says whether this host may still decide.
"""
