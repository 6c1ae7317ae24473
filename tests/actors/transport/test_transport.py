"""`Transport`: what it writes, reads and reports, with a socket, a shard and a session that only take notes."""

from __future__ import annotations

import gc

import pytest

from tests.support.transport_shell import ANSWER, NotedSession, NotedShard, client_close, opened, waiting
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.transport import Transport
from wspulse.actors.wire.frames import PING, PONG, TEXT, encode_close, encode_frame, unmasked

PING_FRAME = encode_frame(PING, b"")
CLOSE_WAIT_S = 3
"""contract.md §3."""


def state(transport: Transport) -> TransportState:
    """Asked anew each time, for the type checker too."""
    return transport.state


def text(payload: bytes) -> bytes:
    return unmasked(TEXT, payload)


# Newcomers.


def test_newcomer_that_sends_too_much_ahead_is_not_read_until_its_session_has_it() -> None:
    shard = NotedShard(max_message_size=1024 * 1024)
    transport, socket = waiting(shard)
    transport.data_received(b"\x82\xfe" + b"x" * (512 * 1024))
    assert state(transport) is TransportState.WAITING_HELD
    assert not socket.is_reading()
    transport.accept(ANSWER)
    assert state(transport) is TransportState.HELD
    transport.start()
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


# Reading and the heartbeat.


def test_transport_that_is_held_in_the_middle_of_a_read_goes_on_where_it_stopped() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    session.inbox.on_receive = transport.hold
    transport.data_received(text(b"one") + text(b"two"))
    assert session.inbox.received == [b"one"]
    assert state(transport) is TransportState.HELD
    transport.release()
    assert socket.is_reading()
    shard.noted_loop.turn()
    assert session.inbox.received == [b"one", b"two"]


def test_pings_go_out_each_period_and_silence_ends_the_transport() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5)
    transport, socket, session = opened(shard)
    shard.pass_time(2.1)
    assert socket.taken() == PING_FRAME
    transport.data_received(unmasked(PONG, b""))
    shard.pass_time(4.8)
    assert socket.taken() == PING_FRAME * 2
    assert session.lost == []
    shard.pass_time(0.4)
    assert session.lost == [("KeepaliveTimeoutError", False)]


def test_pong_clock_stands_while_the_peer_is_not_read() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5)
    transport, _, session = opened(shard)
    shard.pass_time(4)
    transport.hold()
    shard.pass_time(60)
    assert session.lost == []
    transport.release()
    # A second of its five was left.
    shard.pass_time(0.9)
    assert session.lost == []
    shard.pass_time(2.2)
    assert session.lost == [("KeepaliveTimeoutError", False)]


def test_time_in_which_a_newcomer_was_not_read_does_not_lengthen_its_pong_wait() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5, max_message_size=1024 * 1024)
    transport, _ = waiting(shard)
    transport.data_received(b"\x82\xff" + (700_000).to_bytes(8) + b"x" * (512 * 1024))
    shard.pass_time(8)
    transport.accept(ANSWER)
    session = transport.session = NotedSession(transport)
    transport.start()
    shard.pass_time(5.2)
    assert session.lost == [("KeepaliveTimeoutError", False)]


# Writing.


def test_peer_that_takes_nothing_for_write_wait_is_dropped() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 100
    transport.pause_writing()
    shard.pass_time(7)
    socket.unsent_bytes = 99
    shard.pass_time(7.5)
    assert session.lost == []
    shard.pass_time(2.6)
    assert session.lost == [("WriteTimeoutError", False)]
    assert state(transport) is TransportState.LINGERING
    assert socket.calls[-1] == "abort"
    assert shard.ending == [transport]


def test_peer_that_catches_up_is_not_watched_any_more() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 100
    transport.pause_writing()
    shard.pass_time(7)
    transport.resume_writing()
    assert session.flow == ["blocked", "unblocked"]
    shard.pass_time(20)
    assert session.lost == []


def test_blocked_peer_has_write_wait_and_the_close_wait_for_the_last_words() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 100
    transport.pause_writing()
    session.end()
    for left in range(99, 92, -1):
        shard.pass_time(1.5)
        socket.unsent_bytes = left
    assert "abort" not in socket.calls
    shard.pass_time(0.6)
    assert socket.calls[-1] == "abort"


def test_kernel_says_so_as_soon_as_it_refuses_a_byte() -> None:
    assert opened(NotedShard())[1].calls == ["high=0"]


def test_pings_of_one_read_are_answered_by_one_write_each_in_order() -> None:
    transport, client, _ = opened(NotedShard())
    transport.data_received(unmasked(PING, b"1") + unmasked(PING, b"2"))
    assert client.taken() == encode_frame(PONG, b"1") + encode_frame(PONG, b"2")


def test_pings_of_a_peer_that_does_not_read_cost_one_pong() -> None:
    shard = NotedShard()
    transport, socket, _ = opened(shard)
    socket.unsent_bytes = 1
    transport.pause_writing()
    for number in range(100):
        transport.data_received(unmasked(PING, str(number).encode()))
    assert socket.taken() == b""
    transport.resume_writing()
    assert socket.taken() == encode_frame(PONG, b"99")
