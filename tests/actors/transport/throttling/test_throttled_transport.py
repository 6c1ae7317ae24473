"""A transport whose peer may not send as much as it likes: what its session is given when, on a clock that is set by hand."""

from __future__ import annotations

import pytest

from tests.support.sessions.transport_shell import (
    NotedShard,
    NotedSocket,
    client_close,
    opened,
    pong_to,
    state,
    text,
)
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.throttling.transport import ThrottledTransport
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.wire.frames import PING, PONG, unmasked


def pass_time(shard: NotedShard, seconds: float) -> None:
    """In steps, with a turn of the loop behind each."""
    for _ in range(round(seconds * 100)):
        shard.pass_time(0.01)
        shard.noted_loop.turn()


def test_transport_without_a_limit_is_of_the_class_that_knows_of_none() -> None:
    assert type(opened(NotedShard())[0]) is Transport
    assert type(opened(NotedShard(max_frames_per_second=5))[0]) is ThrottledTransport
    assert type(opened(NotedShard(max_bytes_per_second=5))[0]) is ThrottledTransport


@pytest.mark.parametrize("in_one_read", [True, False])
def test_messages_over_the_limit_wait_and_the_socket_is_not_read(in_one_read: bool) -> None:
    shard = NotedShard(max_frames_per_second=5)
    transport, socket, session = opened(shard)
    frames = [text(b"%d" % number) for number in range(8)]
    for data in [b"".join(frames)] if in_one_read else frames:
        transport.data_received(data)
        shard.noted_loop.turn()
    assert (len(session.inbox.received), socket.reading) == (5, False)
    pass_time(shard, 0.45)
    assert (len(session.inbox.received), socket.reading) == (7, False)
    pass_time(shard, 0.3)
    assert (session.inbox.received, socket.reading) == ([b"%d" % number for number in range(8)], True)
    assert state(transport) is TransportState.OPEN
    assert (shard.metrics.limited_reading, shard.metrics.limited_messages) == (1, 0)


def test_bytes_over_the_limit_are_paid_for_before_anything_more_is_read() -> None:
    shard = NotedShard(max_bytes_per_second=100)
    transport, socket, session = opened(shard)
    transport.data_received(text(b"x" * 119))
    shard.noted_loop.turn()
    assert (len(session.inbox.received), socket.reading) == (1, False)
    pass_time(shard, 0.2)
    assert socket.reading is False
    pass_time(shard, 0.1)
    assert socket.reading is True


def flood(shard: NotedShard, transport: Transport, socket: NotedSocket, seconds: float) -> None:
    """A peer that sends whenever it is read."""
    for _ in range(round(seconds * 100)):
        if socket.reading and state(transport) is TransportState.OPEN:
            transport.data_received(text(b"flood") * 20)
        pass_time(shard, 0.01)


def test_peer_that_goes_on_for_ten_seconds_is_closed_with_1008_and_no_other_is() -> None:
    shard = NotedShard(max_frames_per_second=10, ping_period=100, pong_wait=200)
    transport, socket, session = opened(shard)
    neighbour, its_socket, its_session = opened(shard)
    flood(shard, transport, socket, 9.5)
    assert socket.taken() == b""
    flood(shard, transport, socket, 1.0)
    assert socket.taken() == b"\x88\x13\x03\xf0too many messages"
    assert session.lost == [("ProtocolError", False)]
    assert isinstance(session.errors[0], ProtocolError)
    assert (session.errors[0].close_code, session.errors[0].reason) == (1008, "too many messages")
    assert 100 <= len(session.inbox.received) <= 120
    assert session.inbox.rest == [], "what it may not send is not handed over"
    assert (shard.metrics.limited_reading, shard.metrics.limited_messages) == (1, 1)
    for number in range(10):
        neighbour.data_received(text(b"%d" % number))
    assert len(its_session.inbox.received) == 10
    assert (state(neighbour), its_socket.reading) == (TransportState.OPEN, True)


def test_peer_that_stops_in_time_is_forgiven() -> None:
    shard = NotedShard(max_frames_per_second=10, ping_period=100, pong_wait=200)
    transport, socket, session = opened(shard)
    for _ in range(4):
        flood(shard, transport, socket, 6)
        pass_time(shard, 5)
    assert (state(transport), socket.reading, session.lost) == (TransportState.OPEN, True, [])


def test_handler_that_is_behind_is_not_released_by_the_throttle_nor_the_other_way_round() -> None:
    shard = NotedShard(max_frames_per_second=5)
    transport, socket, session = opened(shard)
    transport.data_received(text(b"x") * 6)
    shard.noted_loop.turn()
    transport.release()  # the handler has caught up
    shard.noted_loop.turn()
    assert (len(session.inbox.received), socket.reading) == (5, False)
    session.inbox.behind = True
    pass_time(shard, 0.5)
    assert (len(session.inbox.received), socket.reading) == (5, False)
    session.inbox.behind = False
    transport.release()
    shard.noted_loop.turn()
    assert (len(session.inbox.received), socket.reading) == (6, True)


def test_pongs_and_goodbyes_are_not_counted_and_pings_are() -> None:
    shard = NotedShard(max_frames_per_second=2)
    transport, socket, session = opened(shard)
    transport.data_received(unmasked(PONG, b"") * 50 + text(b"1") + unmasked(PING, b"") + text(b"2"))
    shard.noted_loop.turn()
    assert session.inbox.received == [b"1"]
    assert socket.taken() == b"\x8a\x00"
    pass_time(shard, 0.6)
    assert session.inbox.received == [b"1", b"2"]
    transport.data_received(client_close(1000))
    pass_time(shard, 0.6)
    assert session.lost == [("", True)]


def test_peer_that_is_held_up_is_not_dropped_for_pongs_that_nobody_reads() -> None:
    shard = NotedShard(max_bytes_per_second=10, ping_period=1, pong_wait=3)
    transport, socket, session = opened(shard)
    transport.data_received(text(b"x" * 84))
    pass_time(shard, 7.9)
    assert session.lost == []
    ping = socket.taken()
    assert ping[:2] == b"\x89\x08"
    pass_time(shard, 0.3)
    transport.data_received(pong_to(ping))
    pass_time(shard, 2)
    assert session.lost == []


def test_socket_that_is_lost_meanwhile_leaves_all_that_was_read_to_its_session() -> None:
    shard = NotedShard(max_frames_per_second=5)
    transport, _, session = opened(shard)
    transport.data_received(text(b"x") * 9)
    transport.connection_lost(None)
    assert (len(session.inbox.received), len(session.inbox.rest)) == (5, 4)
    pass_time(shard, 12)
    assert shard.metrics.limited_messages == 0


def test_handler_that_ends_its_session_in_the_midst_of_a_flood_ends_it_once() -> None:
    shard = NotedShard(max_frames_per_second=5)
    transport, socket, session = opened(shard)

    def end() -> None:
        if len(session.inbox.received) == 5:
            session.inbox.on_receive = None
            transport.hand_over_rest()
            session.end()

    session.inbox.on_receive = end
    transport.data_received(text(b"x") * 9)
    pass_time(shard, 12)
    assert (len(session.inbox.received), len(session.inbox.rest)) == (5, 4)
    assert socket.taken() == b"\x88\x02\x03\xe8"


def test_session_that_is_to_move_is_stopped_and_read_on_within_its_limit() -> None:
    shard = NotedShard(max_frames_per_second=5)
    transport, socket, session = opened(shard)
    transport.data_received(text(b"x") * 7)
    transport.stop_reading()
    pass_time(shard, 1)
    assert (state(transport), len(session.inbox.received)) == (TransportState.STOPPED, 5)
    transport.read_on()
    pass_time(shard, 0.05)
    assert (state(transport), len(session.inbox.received), socket.reading) == (TransportState.OPEN, 7, True)
