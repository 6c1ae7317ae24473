"""`Transport`: newcomers, the close handshake, and what becomes of it when its socket ends; sockets, shards and sessions only
take notes."""

from __future__ import annotations

import gc
import sys
from types import FunctionType, ModuleType

import pytest

from tests.support.sessions.transport_shell import (
    ANSWER,
    NotedSession,
    NotedShard,
    client_close,
    opened,
    state,
    text,
    waiting,
)
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.wire.frames import BINARY, TEXT, encode_close, encode_frame, unmasked

CLOSE_WAIT_S = 3
"""contract §3."""


def held_bytes(transport: Transport) -> int:
    """What is reached from a transport, but for its shard."""
    seen: set[int] = {id(transport.shard), id(type(transport))}
    left: list[object] = [getattr(transport, name, None) for kind in type(transport).__mro__ for name in _slots(kind)]
    size = 0
    while left:
        each = left.pop()
        if id(each) not in seen and not isinstance(each, (type, ModuleType, FunctionType)):
            seen.add(id(each))
            size += sys.getsizeof(each)
            left += gc.get_referents(each)
    return size


def _slots(kind: type) -> list[str]:
    return list(vars(kind).get("__slots__", ()))


# Newcomers.


def test_newcomer_that_sends_too_much_ahead_is_not_read_until_its_session_has_it() -> None:
    shard = NotedShard(max_message_size=1024 * 1024)
    transport, socket = waiting(shard)
    transport.data_received(b"\x82\xff" + (700_000).to_bytes(8) + b"x" * (512 * 1024))
    assert state(transport) is TransportState.WAITING_HELD
    assert not socket.is_reading()
    transport.accept(ANSWER)
    assert state(transport) is TransportState.HELD
    transport.session = NotedSession(transport)
    transport.start()
    shard.noted_loop.turn()
    assert state(transport) is TransportState.OPEN
    assert socket.is_reading()


def test_refused_newcomer_gives_its_socket_to_a_refusal_that_lets_the_client_read_the_answer() -> None:
    shard = NotedShard()
    transport, socket = waiting(shard)
    transport.refuse(b"HTTP/1.1 409 Conflict\r\n\r\n")
    assert state(transport) is TransportState.GONE
    assert isinstance(socket.protocol, Refusal)
    assert socket.taken() == b"HTTP/1.1 409 Conflict\r\n\r\n"
    assert socket.calls[-1] == "eof"
    assert shard.ending == [socket.protocol]
    shard.pass_time(0.9)
    assert "abort" not in socket.calls
    shard.pass_time(0.2)
    assert socket.calls[-1] == "abort"
    socket.protocol.connection_lost(None)
    assert not shard.ending


def test_refused_newcomer_whose_socket_was_not_read_is_read_again() -> None:
    shard = NotedShard()
    transport, socket = waiting(shard)
    transport.data_received(b"x" * (512 * 1024 + 1))
    assert not socket.is_reading()
    transport.refuse(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert socket.is_reading()


def test_newcomer_that_takes_nothing_of_an_earlier_answer_is_dropped() -> None:
    shard = NotedShard(write_wait=8)
    transport, client = waiting(shard)
    client.unsent_bytes = 100
    transport.pause_writing()
    shard.pass_time(8.1)
    assert client.calls[-1] == "abort"
    assert state(transport) is TransportState.WAITING
    transport.connection_lost(None)
    assert shard.admission.left == [transport]


def test_newcomer_that_goes_is_told_to_the_admission() -> None:
    shard = NotedShard()
    transport, _ = waiting(shard)
    transport.connection_lost(None)
    assert shard.admission.left == [transport]
    assert shard.gone == [transport]


# The close handshake.


def test_close_frame_of_the_peer_is_awaited_for_three_seconds() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.end(1000, "bye")
    assert socket.taken() == encode_close(1000, "bye")
    assert state(transport) is TransportState.CLOSING
    shard.pass_time(CLOSE_WAIT_S - 0.02)
    assert "abort" not in socket.calls
    shard.pass_time(0.04)
    assert socket.calls[-1] == "abort"


def test_socket_is_closed_as_soon_as_the_peer_answers_the_close_frame() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.end()
    transport.data_received(text(b"on its way") + client_close(1000))
    assert socket.calls[-1] == "close"
    assert state(transport) is TransportState.LINGERING
    assert session.inbox.received == []


def test_answer_to_the_close_frame_is_found_among_what_was_read_before_it() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.hold()
    transport.data_received(text(b"one") + client_close(1001))
    session.end()
    assert socket.calls[-1] == "close"
    assert state(transport) is TransportState.LINGERING


def test_garbage_behind_our_close_frame_is_ignored_until_the_socket_ends() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.end()
    transport.data_received(b"\xff\xff\xff")
    assert state(transport) is TransportState.LINGERING
    transport.data_received(client_close(1000))
    assert "close" not in socket.calls
    shard.pass_time(CLOSE_WAIT_S + 0.1)
    assert socket.calls[-1] == "abort"


@pytest.mark.parametrize(
    ("code", "lost"), [(1000, ("", True)), (1001, ("", False)), (4000, ("PeerClosedError", False))]
)
def test_close_frame_of_the_peer_is_reported_and_answered_and_the_socket_closed(
    code: int, lost: tuple[str, bool]
) -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(text(b"last") + client_close(code, "x") + text(b"never"))
    assert session.inbox.received == [b"last"]
    assert session.lost == [lost]
    assert socket.taken() == encode_close(code)
    assert socket.calls[-1] == "close"


@pytest.mark.parametrize("end", [client_close(1000), b"\x83\x80\0\0\0\0"])
def test_answers_to_what_came_before_the_end_are_written_before_the_close_frame(end: bytes) -> None:
    shard = NotedShard()
    transport, client, session = opened(shard)

    def answer() -> None:
        session.unwritten = encode_frame(TEXT, b"answer")

    session.inbox.on_receive = answer
    transport.data_received(text(b"question") + end)
    assert client.taken().startswith(encode_frame(TEXT, b"answer") + b"\x88")


def test_peer_that_is_gone_when_its_violation_is_answered_is_waited_for() -> None:
    shard = NotedShard()
    transport, client, _ = opened(shard)
    client.is_reset = True
    transport.data_received(b"\x83\x80\0\0\0\0")
    assert state(transport) is TransportState.LINGERING
    shard.pass_time(1.1)
    assert client.calls[-1] == "abort"


def test_violation_is_answered_by_its_code_and_an_end_that_the_peer_can_read() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(text(b"fine") + b"\x83\x80\0\0\0\0")
    assert session.inbox.received == [b"fine"]
    assert session.lost == [("ProtocolError", False)]
    assert socket.taken().startswith(b"\x88")
    assert socket.calls[-1] == "eof"
    shard.pass_time(1.1)
    assert socket.calls[-1] == "abort"


def test_transport_that_is_replaced_when_its_peer_had_closed_is_closed_at_once() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.inbox.behind = True
    transport.hold()
    transport.data_received(text(b"left") + client_close(1000))
    transport.hand_over_rest()
    assert session.inbox.rest == [b"left"]
    session.end(1000, "replaced")
    assert socket.taken() == encode_close(1000, "replaced")
    assert socket.calls[-1] == "close"
    assert state(transport) is TransportState.LINGERING


def test_transport_that_is_replaced_before_its_turn_leaves_what_came_ahead_of_its_101() -> None:
    shard = NotedShard()
    transport, client = waiting(shard)
    transport.data_received(text(b"ahead") + client_close(1000))
    transport.accept(ANSWER)
    session = transport.session = NotedSession(transport)
    transport.start()
    client.taken()
    # The loop has not turned since.
    transport.hand_over_rest()
    session.end(1000, "replaced")
    assert session.inbox.rest == [b"ahead"]
    assert client.calls[-1] == "close"
    shard.noted_loop.turn()
    assert session.inbox.received == []


def test_transport_that_we_end_leaves_what_it_had_read_to_the_session() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, client, session = opened(shard)
    transport.hold()
    transport.data_received(text(b"read"))
    client.unsent_bytes = 1
    transport.pause_writing()
    shard.pass_time(8.1)
    assert session.inbox.rest == [b"read"]
    assert session.lost == [("WriteTimeoutError", False)]


# The end of the socket.


def test_lost_socket_leaves_what_was_read_to_the_session_and_says_how_the_peer_ended() -> None:
    shard = NotedShard()
    transport, _, session = opened(shard)
    transport.hold()
    transport.data_received(text(b"one") + text(b"two") + client_close(1000))
    transport.connection_lost(ConnectionResetError())
    assert session.inbox.rest == [b"one", b"two"]
    assert session.lost == [("", True)]


def test_lost_socket_without_a_farewell_is_an_error_with_its_cause() -> None:
    shard = NotedShard()
    transport, _, session = opened(shard)
    reset = ConnectionResetError()
    transport.connection_lost(reset)
    assert session.lost == [("ConnectionLostError", False)]
    assert session.errors[0] is not None
    assert session.errors[0].__cause__ is reset


def test_nothing_holds_a_transport_that_is_gone_when_its_last_deadline_has_passed() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5, write_wait=8)
    gc.collect()
    gc.disable()
    try:
        others = {id(each) for each in gc.get_objects() if type(each) is Transport}
        transport, client, session = opened(shard)
        client.unsent_bytes = 1
        transport.pause_writing()
        transport.connection_lost(None)
        client.protocol = None
        shard.gone.clear()
        shard.admission.admitted.clear()
        shard.pass_time(20)
        del transport, client, session
        assert {id(each) for each in gc.get_objects() if type(each) is Transport} <= others
    finally:
        gc.enable()


def test_transport_that_is_gone_keeps_nothing_of_an_unfinished_message() -> None:
    shard = NotedShard(max_message_size=1 << 20, ping_period=300, pong_wait=600)
    transport, client, _ = opened(shard)
    begun = unmasked(BINARY, bytes(range(256)) * 2000)[:-1]
    transport.data_received(begun)
    assert held_bytes(transport) > 500_000
    transport.connection_lost(None)
    client.protocol = None
    assert held_bytes(transport) < 5_000
    assert transport.write(b"x") is None
    assert client.taken() == b""
