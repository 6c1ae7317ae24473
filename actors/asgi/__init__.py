"""A server inside another ASGI application, or joined to one that runs elsewhere.

It may import everything up to `runtime`; the server that is mounted is known by a protocol.
Begin with `application`; `socket` makes an ASGI connection look like a socket, `joined` is the way without any.
"""
