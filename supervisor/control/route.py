"""`PeerRoute`: the way back to one peer of the control socket.

Made by `ControlSocket` from what stands before a message, handed on beside each request, and given back with what is to be
sent. Nobody looks into it but `ControlSocket`.
"""

from __future__ import annotations

__all__ = ["PeerRoute"]

PeerRoute = tuple[bytes, ...]
"""The parts before a message as ROUTER tells them: the peer's identity first, then what a REQ peer adds."""
