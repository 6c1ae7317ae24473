"""A server inside another ASGI application: with a shard of its own there, or as the remote of one that runs elsewhere.

It may import everything up to `calls`; the server that is mounted is known by a protocol.
Begin with `application`; `mounted` and `remote_server` are the two ways in which such a server runs, `socket` makes an ASGI
connection look like a socket.
"""
