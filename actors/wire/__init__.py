"""Bytes to messages and back: WebSocket frames, the head of an upgrade request and its answer, as machines.

They may import `values` and nothing else: no socket, no loop and no clock, so that every byte sequence can be tried on them.
Begin with `handshake` for what a connection has to pass, and with `framing` for all that follows it;
`frames` is what both directions share.
"""
