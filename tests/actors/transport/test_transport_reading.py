"""`Transport`: how much of a peer it handles in a turn, and when it is read; with a socket, a shard and a session that only take
notes."""

from __future__ import annotations

from contextvars import ContextVar, copy_context

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
from wspulse.actors.transport.state import TransportState
from wspulse.actors.wire.frames import PING, PONG, TEXT, encode_close, encode_frame, unmasked

PONG_FRAME = encode_frame(PONG, b"")


def test_transport_that_is_held_in_the_middle_of_a_read_goes_on_where_it_stopped() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.inbox.on_receive = transport.hold
    transport.data_received(text(b"one") + text(b"two"))
    assert session.inbox.received == [b"one"]
    assert state(transport) is TransportState.HELD
    session.inbox.on_receive = None
    transport.release()
    assert not socket.is_reading()
    shard.noted_loop.turn()
    assert session.inbox.received == [b"one", b"two"]
    assert socket.is_reading()


def test_transport_whose_session_is_behind_again_when_its_turn_comes_is_not_read() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.inbox.on_receive = transport.hold
    transport.data_received(text(b"one") + text(b"two"))
    transport.release()
    session.inbox.behind = True
    shard.noted_loop.turn()
    assert session.inbox.received == [b"one"]
    assert not socket.is_reading()


@pytest.mark.parametrize(
    ("frame", "share"),
    [(text(b"{}"), 128), (unmasked(PING, b""), 128), (unmasked(PONG, b"x"), 128)],
    ids=["messages", "pings", "pongs"],
)
def test_socket_has_a_bounded_number_of_frames_handled_in_a_turn(frame: bytes, share: int) -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(frame * 1000 + text(b"last"))
    handled = len(session.inbox.received) or socket.taken().count(PONG_FRAME) or share
    assert handled == share
    assert not socket.is_reading()
    for _ in range(6):
        assert session.inbox.received[-1:] != [b"last"]
        assert not socket.is_reading()
        shard.noted_loop.turn()
    shard.noted_loop.turn()
    assert session.inbox.received[-1] == b"last"
    assert socket.is_reading()


def test_fragments_without_an_end_do_not_keep_the_loop() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(b"\x02\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 300 + b"\x80\x81\0\0\0\0x" + text(b"y"))
    assert session.inbox.received == []
    assert not socket.is_reading()
    shard.noted_loop.turn()
    assert session.inbox.received == []
    shard.noted_loop.turn()
    assert session.inbox.received == [b"x", b"y"]
    assert socket.is_reading()


def test_socket_that_fills_a_read_is_read_again_in_the_next_turn() -> None:
    shard = NotedShard(max_message_size=1024 * 1024)
    transport, socket, session = opened(shard)
    transport.data_received(unmasked(TEXT, b"x" * 200_000))
    assert session.inbox.received == [b"x" * 200_000]
    assert not socket.is_reading()
    shard.noted_loop.turn()
    assert socket.is_reading()


def test_turn_that_is_over_does_not_stop_the_pong_clock() -> None:
    """A peer that sends without a pause, and answers no ping, must not live for ever."""
    shard = NotedShard(ping_period=2, pong_wait=5)
    transport, _, session = opened(shard)
    for _ in range(125):
        transport.data_received(text(b"{}") * 130)
        shard.pass_time(0.1)
        shard.noted_loop.turn()
    assert session.lost == [("KeepaliveTimeoutError", False)]


def test_session_that_is_closed_when_its_turn_comes_is_read_until_the_peer_answers() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(text(b"a") * 200)
    session.inbox.on_receive = lambda: session.end() if session.transport is not None else None
    shard.noted_loop.turn()
    assert state(transport) is TransportState.CLOSING
    assert socket.is_reading()
    transport.data_received(client_close(1000))
    assert socket.calls[-1] == "close"


def test_flooding_peer_that_was_told_to_go_does_not_keep_the_loop() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.kick()
    transport.data_received(text(b"{}") * 1000 + client_close(1000))
    for _ in range(7):
        assert not socket.is_reading()
        assert "close" not in socket.calls
        shard.noted_loop.turn()
    assert socket.calls[-1] == "close"


def test_what_a_flooding_peer_had_sent_when_it_was_told_to_go_does_not_keep_the_loop() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(text(b"{}") * 1000)
    session.kick()
    for _ in range(6):
        assert not socket.is_reading()
        shard.noted_loop.turn()
    shard.noted_loop.turn()
    assert socket.is_reading()
    transport.data_received(client_close(1000))
    assert socket.calls[-1] == "close"


def test_fragments_of_a_peer_that_was_told_to_go_do_not_keep_the_loop() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.kick()
    transport.data_received(b"\x02\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 300 + client_close(1000))
    for _ in range(2):
        assert not socket.is_reading()
        assert "close" not in socket.calls
        shard.noted_loop.turn()
    assert socket.calls[-1] == "close"


def test_flooding_peer_whose_messages_end_the_session_does_not_keep_the_loop() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(text(b"a") * 1000)
    session.inbox.on_receive = lambda: session.kick() if session.transport is not None else None
    shard.noted_loop.turn()
    assert state(transport) is TransportState.CLOSING
    for _ in range(6):
        assert not socket.is_reading()
        shard.noted_loop.turn()
    assert socket.is_reading()


# Half-closed peers.


def test_peer_that_ends_its_stream_gets_the_answers_that_are_due_and_then_the_end() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.answers_are_due = True
    transport.data_received(text(b"question"))
    assert transport.eof_received()
    assert session.lost == []
    transport.release()  # as the inbox does when it has come to rest
    shard.noted_loop.turn()
    assert "close" not in socket.calls
    session.answers_are_due = False
    transport.release()
    shard.noted_loop.turn()
    assert socket.calls[-1] == "close"
    transport.connection_lost(None)
    assert session.lost == [("ConnectionLostError", False)]


def test_peer_that_ends_its_stream_is_lost_at_once_where_nothing_is_due() -> None:
    transport, _, _ = opened(NotedShard())
    assert not transport.eof_received()


def test_newcomer_that_ends_its_stream_gets_its_answer_and_those_to_its_messages() -> None:
    shard = NotedShard()
    transport, socket = waiting(shard)
    transport.data_received(text(b"ahead"))
    assert transport.eof_received()
    transport.accept(ANSWER)
    session = transport.session = NotedSession(transport)
    session.answers_are_due = True
    transport.start()
    shard.noted_loop.turn()
    assert session.inbox.received == [b"ahead"]
    assert "close" not in socket.calls
    session.answers_are_due = False
    transport.release()
    shard.noted_loop.turn()
    assert socket.calls[-1] == "close"


def test_half_closed_peer_that_is_told_to_go_is_closed_at_once() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.answers_are_due = True
    transport.eof_received()
    session.end(1000, "bye")
    assert socket.taken() == encode_close(1000, "bye")
    assert socket.calls[-1] == "close"


def test_half_closed_peer_is_kept_for_the_close_wait_and_not_as_long_as_a_handler_likes() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.answers_are_due = True
    transport.eof_received()
    shard.pass_time(2.9)
    assert "close" not in socket.calls
    shard.pass_time(0.2)
    assert socket.calls[-1] == "close"


def test_what_is_read_on_runs_in_no_context_of_the_handler_that_released_it() -> None:
    whose: ContextVar[str] = ContextVar("whose", default="nobody's")
    shard = NotedShard()
    transport, _, session = opened(shard)
    seen: list[str] = []
    session.inbox.on_receive = lambda: seen.append(whose.get())
    session.inbox.behind = True
    transport.hold()
    transport.data_received(text(b"waits"))
    session.inbox.behind = False
    handler = copy_context()
    handler.run(whose.set, "another's")
    handler.run(transport.release)
    shard.noted_loop.turn()
    assert seen == ["nobody's"]


@pytest.mark.parametrize(
    "goodbye",
    [client_close(1000), encode_frame(TEXT, b"is not masked")],
    ids=["a close frame", "a violation"],
)
def test_ping_is_answered_though_the_peers_last_word_came_with_it(goodbye: bytes) -> None:
    shard = NotedShard()
    transport, client, session = opened(shard)
    session.unwritten = b"(what was sent)"
    transport.data_received(unmasked(PING, b"here?") + goodbye)
    written = client.taken()
    assert written.index(b"here?") < written.index(bytes([0x88]))
    assert written.count(b"here?") == 1


def test_ping_of_a_blocked_peer_that_closes_is_not_answered_after_our_close_frame() -> None:
    shard = NotedShard()
    transport, client, _ = opened(shard)
    client.unsent_bytes = 1
    transport.pause_writing()
    transport.data_received(unmasked(PING, b"here?") + client_close(1000))
    transport.resume_writing()
    assert b"here?" not in client.taken()
