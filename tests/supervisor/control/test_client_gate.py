"""Who is let in where the control socket wants keys: real sockets over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from tests.support.control.dealers import Dealer, Dealers, dealers
from tests.support.eventually import eventually
from wspulse.supervisor.control.client_gate import ClientGate
from wspulse.supervisor.protocol.curve import KeyPair

Monitor = zmq.Socket[bytes]

_TURNED_AWAY = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED


def new_pair() -> KeyPair:
    return KeyPair(*zmq.curve_keypair())


class Door:
    """A guarded ROUTER; `allowed` are the public keys of those who may come in."""

    def __init__(self, peers: Dealers, pair: KeyPair, allowed: frozenset[bytes]) -> None:
        self._peers = peers
        self._knocked: list[tuple[Dealer, Monitor]] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.refused: list[tuple[str, str]] = []
        self.gate = ClientGate(self._context, pair, allowed, lambda *refused: self.refused.append(refused))
        self.router = self._context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 0)
        self.gate.guard(self.router)
        self.router.bind("tcp://127.0.0.1:*")
        last = self.router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(last, bytes)
        self.endpoint = last.rstrip(b"\0").decode()

    def knocks(self, server_key: bytes | None = None, pair: KeyPair | None = None) -> Monitor:
        """A client that shows these keys comes with a message. Returns what tells of its being turned away."""
        dealer = self._peers.prepared()
        monitor = dealer.socket.get_monitor_socket(_TURNED_AWAY)
        self._knocked.append((dealer, monitor))
        if server_key is not None and pair is not None:
            dealer.socket.setsockopt(zmq.CURVE_SERVERKEY, server_key)
            dealer.socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public)
            dealer.socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret)
        dealer.socket.connect(self.endpoint)
        dealer.socket.send(b"let me in")
        return monitor

    async def hears(self) -> bytes:
        await eventually(lambda: self.router.poll(0), "somebody was let in")
        return self.router.recv_multipart()[1]

    def close(self) -> None:
        for dealer, monitor in self._knocked:
            dealer.socket.disable_monitor()
            monitor.close()
        self.router.close()
        self.gate.close()
        self._context.term()


@contextmanager
def door(pair: KeyPair, *allowed: bytes) -> Iterator[Door]:
    with dealers() as peers:
        made = Door(peers, pair, frozenset(allowed))
        yield made
        made.close()


async def test_client_whose_key_is_listed_is_let_in() -> None:
    server, one, two = new_pair(), new_pair(), new_pair()
    with door(server, one.public, two.public) as made:
        for pair in (one, two):
            made.knocks(server.public, pair)
            assert await made.hears() == b"let me in"


async def test_client_whose_key_is_not_listed_is_refused_and_learns_why() -> None:
    server, listed, stranger = new_pair(), new_pair(), new_pair()
    with door(server, listed.public) as made:
        monitor = made.knocks(server.public, stranger)
        await eventually(lambda: monitor.poll(0), "it was turned away")
        event = recv_monitor_message(monitor)
        assert (event["event"], event["value"]) == (zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400)
        assert not made.router.poll(0), "nothing of it was heard"
        assert made.refused == [(stranger.public.decode(), "127.0.0.1")]
        made.knocks(server.public, listed)
        await made.hears()


@pytest.mark.parametrize("keys", ["none", "another server's"])
async def test_client_without_the_right_keys_is_never_heard(keys: str) -> None:
    server, listed = new_pair(), new_pair()
    with door(server, listed.public) as made:
        monitor = made.knocks() if keys == "none" else made.knocks(new_pair().public, listed)
        await eventually(lambda: monitor.poll(0), "it was turned away")
        assert not made.router.poll(0)
        made.knocks(server.public, listed)
        assert await made.hears() == b"let me in", "the others are let in all the same"


async def test_gate_answers_every_question_in_the_form_of_rfc_27() -> None:
    """Whatever is asked: a question without an answer would hold up all who come after."""
    pair = new_pair()
    with zmq.Context() as context:
        gate = ClientGate(context, new_pair(), frozenset({pair.public}), lambda _key, _address: None)
        with context.socket(zmq.DEALER) as asker:
            asker.setsockopt(zmq.LINGER, 0)
            asker.connect("inproc://zeromq.zap.01")
            key = zmq.utils.z85.decode(pair.public)
            for parts, status in (
                ([b"1.0", b"7", b"wspulse", b"127.0.0.1", b"", b"CURVE", key], b"200"),
                ([b"1.0", b"7", b"wspulse", b"127.0.0.1", b"", b"CURVE", b"x" * 32], b"400"),
                ([b"1.0", b"7", b"other", b"127.0.0.1", b"", b"CURVE", key], b"400"),
                ([b"1.0", b"7", b"wspulse", b"127.0.0.1", b"", b"PLAIN", key], b"400"),
                ([b"1.0", b"7", b"wspulse", b"127.0.0.1", b"", b"NULL"], b"400"),
                ([b"1.0", b"7"], b"400"),
            ):
                asker.send_multipart([b"", *parts])
                await eventually(lambda: asker.poll(0), "there is an answer")
                answer = asker.recv_multipart()
                assert answer[:4] == [b"", b"1.0", b"7", status], parts
                assert len(answer) == 7
        gate.close()
