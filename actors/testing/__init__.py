"""Help for the tests of applications: a server that runs in the test, and clients to talk to it.

It may import everything else of this half, and reaches the other one as users do, by its command line.
Begin with `serving`; what users import of it is listed in `public/testing.py`.
"""
