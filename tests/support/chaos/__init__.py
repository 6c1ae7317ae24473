"""Chaos: a crowd that talks through a server of several workers while its processes, folders, files and streams are struck.

`crowd` has the clients, and knows who was cut off and what they were told; `stage` the server and what can be seen of it;
`strikes` what is done to it, each with what the contract says of it. `scripts/chaos` does all of them.
"""
