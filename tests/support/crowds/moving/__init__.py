"""`scripts/moving-crowd`: a crowd whose sessions move from worker to worker, each client held to hearing all, once and in order.

`crowd` has the options and begins it all, `steps` what happens to the server meanwhile, `app` is what the server runs, `program`
the clients in a process of their own, `heard` what one client knows of what it heard, and `books` holds all of it together.
"""
