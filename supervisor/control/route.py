"""`PeerRoute`: the way back to one peer of the control socket.

Made by `ControlSocket` from what stands before a message, handed on beside each request, and given back with what is to be
sent. Nobody looks into it but `ControlSocket`, and who must know whether a peer names itself.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PeerRoute"]


class PeerRoute(NamedTuple):
    """Equal for all that comes over one connection with the same parts before it."""

    identity: bytes
    """As ROUTER tells it: a number that the server gave the connection, unless the peer names itself."""
    envelope: tuple[bytes, ...] = ()
    """What a REQ peer adds."""
    connection: int = -1
    """Of a peer that names itself, the descriptor of its connection: another connection may have the same name. Else -1."""

    @property
    def is_named(self) -> bool:
        """Whether the identity is the peer's own choice (ZMQ_ROUTING_ID), so that another may have it too."""
        return self.identity[:1] != b"\0"

    @property
    def peer(self) -> tuple[bytes, int]:
        """Whose it is, whatever stands before its messages."""
        return self.identity, self.connection
