"""How a server that is told to end comes to it.

It may import `values`. Begin with `drain_delay`.
"""
