"""Chaos: a crowd that talks through a server of several workers while its processes, folders, files and streams are struck.

`crowd` has the clients, and knows who was cut off and what they were told; `stage` the server and what can be seen of it;
`strikes` what is done to it; `rows` names each with what is promised. `scripts/chaos` does all of them, and `records` keeps what
was seen for doc/inside/reliability.md.
"""
