"""How many may connect: in all, from one address, per second; counted over all workers without asking any.

It may import `values` and `wire`. Begin with `places`, which decides about a newcomer; `counts` is the memory that workers share
for that. How much one connection may send is decided in `transport.throttling`.
"""
