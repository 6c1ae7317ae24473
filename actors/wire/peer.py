"""`Peer`: whom a connection comes from, as far as we are told: the client itself, wherever its socket ends.

Made when a connection is accepted; by a proxy's word where that is trusted, else by the socket's. It is plain values and travels
with a connection that is handed over or moves.
"""

from __future__ import annotations

from typing import NamedTuple

from wspulse.actors.values.request import INSECURE, Address, Scheme

__all__ = ["Peer"]


class Peer(NamedTuple):
    """See the module."""

    address: Address | None
    """None where it has none, as over a Unix socket."""
    scheme: Scheme = INSECURE
    """"wss" where the client speaks TLS, with us or with the proxy that says so."""
