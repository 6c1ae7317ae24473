"""Transports whose clients have agreed on compression.

It may import `values`, `wire` and what stands beside it in `transport`. Begin with `compressing`, all that such a transport does
otherwise; `choice` says which class the transport of a socket is of.
"""
