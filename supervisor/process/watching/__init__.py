"""How the supervisor knows what its processes do: whether a worker is silent or stuck, when and how one ends, and what
applications leave behind. Begin with `silence`.
"""
