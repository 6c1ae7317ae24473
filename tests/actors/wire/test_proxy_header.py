"""PROXY protocol headers: what they say, in whichever pieces they come, and what is none."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wspulse.actors.wire.peer import Peer
from wspulse.actors.wire.proxy_header import MAX_HEADER_BYTES, NoProxyHeaderError, ProxyHeaderGatherer, proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR = b"\x05\x06\x07\x08" + b"\x7f\0\0\x01" + struct.pack("!HH", 4444, 80)
SIX = bytes(15) + b"\x01" + bytes(16) + struct.pack("!HH", 1, 2)


def binary(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest) if length is None else length) + rest


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


SSL = extension(0x20, struct.pack("!BI", 1, 0) + extension(0x21, b"TLSv1.3"))
NO_SSL = extension(0x20, struct.pack("!BI", 0, 0))


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY TCP4 5.6.7.8 127.0.0.1 4444 80\r\n", Peer(("5.6.7.8", 4444))),
        (b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", Peer(("2001:db8::1", 65535))),
        (b"PROXY TCP6 ::ffff:5.6.7.8 ::1 1 2\r\n", Peer(("5.6.7.8", 1))),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (binary(0x21, 0x11, FOUR), Peer(("5.6.7.8", 4444))),
        (binary(0x21, 0x11, FOUR + NO_SSL + extension(0x01, b"http/1.1")), Peer(("5.6.7.8", 4444))),
        (binary(0x21, 0x11, FOUR + extension(0x03, b"crc!") + SSL), Peer(("5.6.7.8", 4444), "wss")),
        (binary(0x21, 0x21, SIX), Peer(("::1", 1))),
        (binary(0x21, 0x31, bytes(216)), None),  # a Unix socket
        (binary(0x21, 0x00, b"whatever"), None),
        (binary(0x20, 0x11, FOUR), None),  # the proxy's own look at whether we live
        (binary(0x20, 0x00, b""), None),
        (proxy_header(("5.6.7.8", 4444), ("127.0.0.1", 80), is_tls=True), Peer(("5.6.7.8", 4444), "wss")),
        (proxy_header(("5.6.7.8", 1), ("::", 80), is_tls=False), Peer(("5.6.7.8", 1))),
        (proxy_header(("fe80::1%eth0", 9), ("fe80::2%eth0", 80), is_tls=True), Peer(("fe80::1", 9), "wss")),
    ],
)
def test_header_says_whom_a_connection_comes_from_in_whichever_pieces_it_comes(
    header: bytes, peer: Peer | None
) -> None:
    for size in (1, 2, 7, len(header), len(header) + 5):
        gatherer = ProxyHeaderGatherer()
        stream = header + b"GET /"
        done = [gatherer.feed(stream[at : at + size]) for at in range(0, len(header), size)]
        assert done == [False] * (len(done) - 1) + [True]
        assert gatherer.peer == peer
        assert gatherer.leftover == stream[len(header) : len(done) * size]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY_",
        b"PROXY TCP4 5.6.7.8 127.0.0.1 4444\r\n",
        b"PROXY TCP4 5.6.7.8 127.0.0.1 4444 80 81\r\n",
        b"PROXY TCP4 5.6.7.8 127.0.0.1 65536 80\r\n",
        b"PROXY TCP4 5.6.7.8 127.0.0.1 -1 80\r\n",
        b"PROXY TCP4 5.6.7.8 127.0.0.1 4444 \xb2\r\n",
        b"PROXY TCP4 ::1 ::1 4444 80\r\n",
        b"PROXY TCP6 5.6.7.8 127.0.0.1 4444 80\r\n",
        b"PROXY TCP4 5.6.7.256 127.0.0.1 4444 80\r\n",
        b"PROXY TCP4 5.6.7.8 \xff 4444 80\r\n",
        b"PROXY TCP6 fe80::1%a'b ::1 1 2\r\n",
        b"PROXY UDP4 5.6.7.8 127.0.0.1 4444 80\r\n",
        b"PROXY " + b"x" * 101,
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        SIGNATURE[:5] + b"x",
        binary(0x11, 0x11, FOUR),
        binary(0x22, 0x11, FOUR),
        binary(0x21, 0x11, FOUR[:-1]),
        binary(0x21, 0x21, FOUR),
        binary(0x21, 0x11, b"", MAX_HEADER_BYTES + 1),
        binary(0x21, 0x11, FOUR + b"\x20"),
        binary(0x21, 0x11, FOUR + extension(0x01, b"x")[:-1]),
    ],
)
def test_what_is_not_a_header_is_refused(data: bytes) -> None:
    with pytest.raises(NoProxyHeaderError):
        ProxyHeaderGatherer().feed(data)


@given(st.binary(max_size=200), st.integers(0, 16), st.booleans())
def test_no_bytes_make_it_raise_anything_else(data: bytes, kept: int, is_binary: bool) -> None:
    begin = (SIGNATURE + b"\x21\x11\0\x40") if is_binary else b"PROXY TCP4 1.2.3.4 "
    gatherer = ProxyHeaderGatherer()
    try:
        for byte in begin[: len(begin) - kept] + data:
            if gatherer.feed(bytes([byte])):
                break
    except NoProxyHeaderError:
        pass
