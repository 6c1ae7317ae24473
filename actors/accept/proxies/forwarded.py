"""What HTTP headers say of the proxies that a request has come through: X-Forwarded-For with X-Forwarded-Proto, or Forwarded.

Called by `TrustedProxies`, which knows whom to believe. Any client may send such headers: each proxy adds what it has seen itself
at the end, so only what trusted ones have added counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from wspulse.actors.values.request import INSECURE, SECURE, Address, Headers, Scheme
from wspulse.actors.wire.peer import Peer, canonical

__all__ = ["Hop", "client_of", "hops_of"]

_SCHEMES: dict[str, Scheme] = {"https": SECURE, "wss": SECURE, "http": INSECURE, "ws": INSECURE}

_MOST_HOPS = 32
"""From the right: what is farther away than so many proxies is not looked at, however much a client sends."""


class Hop(NamedTuple):
    """What one proxy has said of whom it served."""

    address: Address | None
    """None where it says none that can be read, or hides it."""
    scheme: Scheme | None


def hops_of(headers: Headers) -> list[Hop]:
    """The hops that a request tells of, the client's own first.

    Where both kinds are there X-Forwarded-For counts: proxies that set it pass a client's Forwarded on as it came.
    """
    if "x-forwarded-for" in headers:
        hosts = headers["x-forwarded-for"].split(",")
        schemes = [_SCHEMES.get(text.strip().lower()) for text in _last(headers.get("x-forwarded-proto", ""))]
        if len(schemes) != min(len(hosts), _MOST_HOPS):
            # One for all: the proxy next to us has replaced what came.
            schemes = [schemes[-1]] * len(hosts)
        hosts, schemes = hosts[-_MOST_HOPS:], schemes[-_MOST_HOPS:]
        return [Hop(_address(host.strip()), scheme) for host, scheme in zip(hosts, schemes, strict=True)]
    if "forwarded" in headers:
        return [_hop(element) for element in _last(headers["forwarded"])]
    scheme = _SCHEMES.get(headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower())
    return [] if scheme is None else [Hop(None, scheme)]


def _last(values: str) -> list[str]:
    """The last of a list. It is divided at every comma, those within quotes too: no address has one, and a quote that a client
    has opened and not closed must not reach into what a proxy has added behind it."""
    return values.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]


def client_of(hops: Sequence[Hop], peer: Peer, trusts: Callable[[str], bool]) -> Peer:
    """From the right to the left, to the first hop that no trusted proxy stands behind."""
    for hop in reversed(hops):
        scheme = peer.scheme if hop.scheme is None else hop.scheme
        if hop.address is None:
            return Peer(peer.address, scheme)
        peer = Peer(hop.address, scheme)
        if not trusts(hop.address[0]):
            break
    return peer


def _hop(element: str) -> Hop:
    address: Address | None = None
    scheme: Scheme | None = None
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        value = value.strip().strip('"')
        if name.lower() == "for":
            address = _address(value)
        elif name.lower() == "proto":
            scheme = _SCHEMES.get(value.lower())
    return Hop(address, scheme)


def _address(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`."""
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        host = canonical(host)
    except ValueError:
        return None
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    return host, int(port) if is_port else 0
