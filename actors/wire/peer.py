"""`Peer`: whom a connection comes from, as far as we are told: the client itself, wherever its socket ends.

Made when a connection is accepted; by a proxy's word where that is trusted, else by the socket's. It is plain values and travels
with a connection that is handed over or moves.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from wspulse.actors.values.request import INSECURE, Address, Scheme

__all__ = ["Peer", "canonical"]


class Peer(NamedTuple):
    """See the module."""

    address: Address | None
    """None where it has none, as over a Unix socket."""
    scheme: Scheme = INSECURE
    """"wss" where the client speaks TLS, with us or with the proxy that says so."""


def canonical(host: str) -> str:
    """An IP address as it is written everywhere: one of IPv4 that comes over a socket of both families is one of IPv4. Raises
    ValueError for what is not an address, or is one of a link of somebody's own."""
    found = ip_address(host)
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            raise ValueError("the address has a scope")
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
    return str(found)
