"""What can be observed of a server: the one list of it, and what it is kept in.

It imports nothing but itself. Begin with `contract`.
"""
