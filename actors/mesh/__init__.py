"""Actors in other processes: the messages, the streams that carry them with descriptors, and who lives where.

It may import `values` only; what a message means is the business of whoever takes it.
Begin with `actor`, then `message`; README.md tells how an ask, a tell and a descriptor travel and what happens when a
process dies.
"""
