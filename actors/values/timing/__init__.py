"""When something is due, and by which clock: no I/O, and no timer of a loop.

Begin with `service_clock`; it may import nothing but `values`.
"""
