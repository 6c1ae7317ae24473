"""Whom a request comes from, as HTTP headers of proxies say it: nobody is believed that is not trusted."""

from __future__ import annotations

import pytest

from wspulse.actors.accept.proxies import forwarded
from wspulse.actors.accept.proxies.forwarded import hops_of
from wspulse.actors.accept.proxies.trust import TrustedProxies, parse_network
from wspulse.actors.values.request import Address, Headers
from wspulse.actors.wire.peer import Peer

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8", "192.0.2.7"], reads_headers=True)
NEAR = Peer(("10.0.0.1", 5000))


@pytest.mark.parametrize(
    ("lines", "peer"),
    [
        ([], NEAR),
        (["X-Forwarded-For: 198.51.100.1"], Peer(("198.51.100.1", 0))),
        (["X-Forwarded-For: 198.51.100.1:4711"], Peer(("198.51.100.1", 4711))),
        (["X-Forwarded-For: 2001:db8::1"], Peer(("2001:db8::1", 0))),
        (["X-Forwarded-For: [2001:db8::1]:4711"], Peer(("2001:db8::1", 4711))),
        # What the client sent stands on the left, and counts for nothing.
        (["X-Forwarded-For: 6.6.6.6, 198.51.100.1"], Peer(("198.51.100.1", 0))),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 198.51.100.1"], Peer(("198.51.100.1", 0))),
        (["X-Forwarded-For: 6.6.6.6, 198.51.100.1, 10.2.3.4"], Peer(("198.51.100.1", 0))),
        (["X-Forwarded-For: 198.51.100.1, fd00::5, 192.0.2.7, ::ffff:10.1.1.1"], Peer(("198.51.100.1", 0))),
        # All are trusted: the one that is farthest away.
        (["X-Forwarded-For: 10.9.9.9, 10.8.8.8"], Peer(("10.9.9.9", 0))),
        # What cannot be read hides what is behind it.
        (["X-Forwarded-For: 6.6.6.6, unknown, 10.2.3.4"], Peer(("10.2.3.4", 0))),
        (["X-Forwarded-For: "], NEAR),
        (["X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https"], Peer(("198.51.100.1", 0), "wss")),
        (["X-Forwarded-For: 198.51.100.1, 10.2.3.4", "X-Forwarded-Proto: wss"], Peer(("198.51.100.1", 0), "wss")),
        (
            ["X-Forwarded-For: 198.51.100.1, 10.2.3.4", "X-Forwarded-Proto: https, http"],
            Peer(("198.51.100.1", 0), "wss"),
        ),
        (["X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https, http"], Peer(("198.51.100.1", 0))),
        (["X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: gopher"], Peer(("198.51.100.1", 0))),
        (["X-Forwarded-Proto: https"], Peer(("10.0.0.1", 5000), "wss")),
        (["Forwarded: for=198.51.100.1;proto=https;by=10.0.0.1"], Peer(("198.51.100.1", 0), "wss")),
        (['Forwarded: for="[2001:db8::1]:4711"; Proto=http'], Peer(("2001:db8::1", 4711))),
        (["Forwarded: for=6.6.6.6, for=198.51.100.1, For=10.2.3.4;proto=https"], Peer(("198.51.100.1", 0), "wss")),
        (['Forwarded: for="a, b;c", for=198.51.100.1'], Peer(("198.51.100.1", 0))),
        (["Forwarded: for=_hidden, for=10.2.3.4"], Peer(("10.2.3.4", 0))),
        # A quote that a client has opened does not reach into what the proxy adds, on the same line or on one of its own.
        (['Forwarded: for=1.2.3.4;x=", proto=https;for="[2001:db8::1]:4711"'], Peer(("2001:db8::1", 4711), "wss")),
        (['Forwarded: for=1.2.3.4;x="', 'Forwarded: for="198.51.100.1:4711"'], Peer(("198.51.100.1", 4711))),
        (["X-Forwarded-For: fe80::1%eth0"], NEAR),
        (["X-Forwarded-For: ::ffff:198.51.100.1"], Peer(("198.51.100.1", 0))),
        (["X-Forwarded-For: " + "10.9.9.9, " * 40 + "10.8.8.8"], Peer(("10.9.9.9", 0))),
        # Proxies that set the one pass the other on as it came.
        (["Forwarded: for=6.6.6.6", "X-Forwarded-For: 198.51.100.1"], Peer(("198.51.100.1", 0))),
    ],
)
def test_client_is_the_first_from_the_right_that_is_not_trusted(lines: list[str], peer: Peer) -> None:
    assert PROXIES.client_of(Headers(lines), NEAR) == peer


@pytest.mark.parametrize("address", [("11.0.0.1", 5), ("2001:db8::5", 5), ("192.0.2.8", 5), ("::ffff:11.0.0.1", 5)])
def test_nobody_else_is_believed(address: Address) -> None:
    peer = Peer(address)
    lines = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6"]
    assert PROXIES.client_of(Headers(lines), peer) == peer
    assert not PROXIES.trusts(address)


@pytest.mark.parametrize("address", [("10.200.0.1", 5), ("::ffff:10.0.0.1", 5), ("fd12::1", 5), ("192.0.2.7", 5), None])
def test_proxy_is_trusted_by_its_address_and_over_a_unix_socket_without_one(address: Address | None) -> None:
    assert PROXIES.trusts(address)
    headers = Headers(["X-Forwarded-For: 198.51.100.1"])
    assert PROXIES.client_of(headers, Peer(address)) == Peer(("198.51.100.1", 0))


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For"])
def test_no_more_is_read_than_there_are_proxies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def note(host: str) -> str:
        read.append(host)
        return host

    monkeypatch.setattr(forwarded, "canonical", note)
    for value in ("for=10.0.0.1," * 3000 + '"' * 3000, "10.0.0.1," * 3000, "," * 9000, '"' + '\\"' * 7500):
        read.clear()
        assert len(hops_of(Headers([f"{name}: {value}"]))) <= 32
        assert len(read) <= 32


def test_network_that_is_none_is_refused() -> None:
    assert str(parse_network("127.0.0.1")) == "127.0.0.1/32"
    for text in ("10.0.0.1/8", "somewhere", "10.0.0.0/33", ""):
        with pytest.raises(ValueError, match="not an IP address or a network"):
            parse_network(text)
