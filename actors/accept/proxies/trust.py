"""`TrustedProxies`: whose word about its clients is believed, and what it comes to for a request.

One per worker, made from the settings; without it nobody's is. It decides by addresses alone. Over a Unix socket, whose peers
have none, everybody is trusted: the rights to the file decide who may connect there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from wspulse.actors.accept.proxies.forwarded import client_of, hops_of
from wspulse.actors.values.request import Address, Headers, Request
from wspulse.actors.wire.peer import Peer

__all__ = ["TrustedProxies", "parse_network"]

_Network = IPv4Network | IPv6Network

_REMEMBERED = 256
"""Addresses of proxies, of which there are few."""


def parse_network(text: str) -> _Network:
    """An address, or a network in CIDR notation. Raises ValueError."""
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an IP address or a network such as 10.0.0.0/8 (with no bits set after the prefix)"
        ) from None


class TrustedProxies:
    """See the module. `reads_headers`: whether those of HTTP are believed, and not only the PROXY protocol's."""

    def __init__(self, networks: Sequence[str] = (), *, reads_headers: bool = False) -> None:
        self._networks = tuple(map(parse_network, networks))
        self.reads_headers = reads_headers
        self.trusts_host = lru_cache(_REMEMBERED)(self._trusts_host)

    def trusts(self, address: Address | None) -> bool:
        """Whether whoever connects from there may speak for others."""
        return address is None or self.trusts_host(address[0])

    def client_of(self, headers: Headers, peer: Peer) -> Peer:
        """The sender of a request that came from `peer`: read from right to left, up to the first that is not trusted."""
        if not self.trusts(peer.address):
            return peer
        return client_of(hops_of(headers), peer, self.trusts_host)

    def seen(self, head: bytes, peer: Peer) -> Peer:
        """The same, of the request with this head."""
        return self.client_of(Request(head, peer.address).headers, peer) if self.trusts(peer.address) else peer

    def _trusts_host(self, host: str) -> bool:
        try:
            found: IPv4Address | IPv6Address = ip_address(host)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped  # as a socket of both families tells it
        return any(found in network for network in self._networks)
