"""`ProxyHeaderGatherer`: the PROXY protocol's header, versions 1 and 2, with which a proxy begins a connection that it passes on.

Bytes in, the peer that they name out; written for HAProxy's specification of 2020. One per connection of a listener that asks for
such a header; whether its sender is trusted is not decided here. `proxy_header` makes one, of version 2.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final

from wspulse.actors.values.request import INSECURE, SECURE, Address, Scheme
from wspulse.actors.wire.peer import Peer, canonical

__all__ = ["MAX_HEADER_BYTES", "NoProxyHeaderError", "ProxyHeaderGatherer", "proxy_header"]

MAX_HEADER_BYTES: Final = 4096
"""What is read of version 2, which may say up to 64 KiB; proxies say some hundred bytes at most."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = Struct("!12sBBH")
"""Signature, version and command, family and protocol, length of the rest."""

_V1_BEGIN: Final = b"PROXY "
_V1_MAX_BYTES: Final = 107
"""The longest line of version 1, its CRLF included (specification, section 2.1)."""

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES = {_TCP4: (IPv4Address, Struct("!4s4sHH")), _TCP6: (IPv6Address, Struct("!16s16sHH"))}

_TLV = Struct("!BH")
_SSL: Final = 0x20
_SSL_FIXED = Struct("!BI")
"""A bit field of what the client did, and whether its certificate was verified (0: it was, or there was none)."""
_CLIENT_SSL: Final = 0x01


class NoProxyHeaderError(Exception):
    """What came is not a PROXY header; the text says why."""


class ProxyHeaderGatherer:
    """See the module."""

    __slots__ = ("_data", "leftover", "peer")

    def __init__(self) -> None:
        self._data = b""
        self.peer: Peer | None = None
        """The client, where the header names one; a proxy that looks whether we live speaks for itself."""
        self.leftover = b""
        """What came behind the header."""

    def feed(self, data: bytes) -> bool:
        """Take bytes; returns whether the header is complete. Raises NoProxyHeaderError as soon as it cannot be one."""
        data = self._data = self._data + data
        if data.startswith(_V1_BEGIN[: len(data)]):
            return self._feed_text(data)
        if data.startswith(_SIGNATURE[: len(data)]):
            return self._feed_binary(data)
        raise NoProxyHeaderError("it begins with something else")

    def _feed_text(self, data: bytes) -> bool:
        line, end, leftover = data.partition(b"\r\n")
        if not end:
            if len(data) >= _V1_MAX_BYTES:
                raise NoProxyHeaderError("its line is too long")
            return False
        if len(line) + len(end) > _V1_MAX_BYTES:
            raise NoProxyHeaderError("its line is too long")
        self.peer, self.leftover, self._data = _peer_of_line(line), leftover, b""
        return True

    def _feed_binary(self, data: bytes) -> bool:
        if len(data) < _FIXED.size:
            return False
        _, command, family, length = _FIXED.unpack_from(data)
        if command not in (_LOCAL, _PROXY):
            raise NoProxyHeaderError("its version or command is unknown")
        if length > MAX_HEADER_BYTES:
            raise NoProxyHeaderError("it is too long")
        end = _FIXED.size + length
        if len(data) < end:
            return False
        if command == _PROXY:
            self.peer = _peer_of_binary(family, data[_FIXED.size : end])
        self.leftover, self._data = data[end:], b""
        return True


def _peer_of_line(line: bytes) -> Peer | None:
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return None
    kinds = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}
    kind = kinds.get(words[1])
    if kind is None or len(words) != 6:
        raise NoProxyHeaderError("its line is malformed")
    try:
        source, _ = (canonical(str(kind(word.decode("ascii")))) for word in words[2:4])
    except (ValueError, UnicodeDecodeError):
        raise NoProxyHeaderError("its line has a malformed address") from None
    port, _ = map(_port, words[4:])
    return Peer((source, port))


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or (port := int(word)) > 65535:
        raise NoProxyHeaderError("its line has a malformed port")
    return port


def _peer_of_binary(family: int, rest: bytes) -> Peer | None:
    kind, layout = _ADDRESSES.get(family, (None, None))
    if kind is None or layout is None:
        return None  # a Unix socket, a datagram, or a family unknown to us: to be accepted, and its addresses ignored
    if len(rest) < layout.size:
        raise NoProxyHeaderError("its addresses are truncated")
    source, _, port, _ = layout.unpack_from(rest)
    return Peer((canonical(str(kind(source))), port), _scheme(rest[layout.size :]))


def _scheme(extensions: bytes) -> Scheme:
    at = 0
    while at < len(extensions):
        if len(extensions) - at < _TLV.size:
            raise NoProxyHeaderError("an extension is truncated")
        kind, length = _TLV.unpack_from(extensions, at)
        at += _TLV.size
        if at + length > len(extensions):
            raise NoProxyHeaderError("an extension is truncated")
        if kind == _SSL and length >= _SSL_FIXED.size and _SSL_FIXED.unpack_from(extensions, at)[0] & _CLIENT_SSL:
            return SECURE
        at += length
    return INSECURE


def proxy_header(source: Address, destination: Address, *, is_tls: bool) -> bytes:
    """A header of version 2 for a client at `source` that has connected to `destination`: two addresses of one family, else the
    destination is left out."""
    family, kind = (_TCP6, IPv6Address) if ":" in source[0] else (_TCP4, IPv4Address)
    there, there_port = kind(0), 0
    with suppress(ValueError):
        found = ip_address(destination[0].partition("%")[0])
        if isinstance(found, kind):
            there, there_port = found, destination[1]
    layout = _ADDRESSES[family][1]
    rest = layout.pack(kind(source[0].partition("%")[0]).packed, there.packed, source[1], there_port)
    if is_tls:
        rest += _TLV.pack(_SSL, _SSL_FIXED.size) + _SSL_FIXED.pack(_CLIENT_SSL, 0)
    return _FIXED.pack(_SIGNATURE, _PROXY, family, len(rest)) + rest
