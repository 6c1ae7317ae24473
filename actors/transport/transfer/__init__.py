"""How a transport leaves its process, and arrives in another one, or in the same again.

It may import `values`, `wire` and what stands beside it in `transport`. Begin with `record`, all that a transport is beside its
socket; `departure` ends one end of a move, `arrival` begins the other, and `opening` gives a descriptor to a protocol.
"""
