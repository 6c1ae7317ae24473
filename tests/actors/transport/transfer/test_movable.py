"""What a transport does when it is to leave, and when it arrives, in front of a socket that only notes it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.sessions.transport_shell import NotedSession, NotedShard, NotedSocket, opened, pong_to, text, waiting
from wspulse.actors.transport.limits import AHEAD_BYTES
from wspulse.actors.transport.owed import Owed
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.transfer.arrival import Arrival
from wspulse.actors.transport.transfer.record import HeartbeatRecord, TransportRecord
from wspulse.actors.transport.transport import Transport
from wspulse.actors.wire.parser_record import ParserRecord

PAYLOAD = bytes(range(8))


def _state(transport: Transport) -> TransportState:
    return transport.state


def _can_leave(transport: Transport) -> bool:
    return transport.can_leave


def _written(transport: Transport) -> bytes:
    return transport._written


def _arrived(
    shard: NotedShard, record: TransportRecord, ahead: bytes = b"", socket: NotedSocket | None = None
) -> tuple[Transport, NotedSocket, NotedSession]:
    sessions: list[NotedSession] = []

    def attach(transport: Transport) -> None:
        session = NotedSession(transport)
        transport.session = session
        sessions.append(session)

    arrival = Arrival(shard, record, attach)
    if ahead:
        arrival.keep(ahead)
    socket = NotedSocket() if socket is None else socket
    arrival.connection_made(socket)
    assert socket.protocol is arrival.transport
    assert socket.reading is (arrival.transport.state is not TransportState.HELD)
    # A loop may begin to read behind that all the same.
    socket.resume_reading()
    return arrival.transport, socket, sessions[0]


def _record(**fields: Any) -> TransportRecord:
    return TransportRecord(**({"parser": ParserRecord(), "heartbeat": HeartbeatRecord(0.0)} | fields))


class _BlockingSocket(NotedSocket):
    """Takes all but the last bytes of its `blocks_at`th write, and tells its protocol within it."""

    def __init__(self, blocks_at: int) -> None:
        super().__init__()
        self._blocks_at = blocks_at

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self._blocks_at -= 1
        if self._blocks_at == 0:
            self.unsent_bytes = 1
            assert isinstance(self.protocol, Transport)
            self.protocol.pause_writing()


def test_unsent_rest_is_written_first_then_what_is_owed_then_what_the_session_has() -> None:
    owed = Owed()
    owed.pong(b"a", newest_only=False)
    owed.ping(PAYLOAD)
    shard = NotedShard()
    _, socket, _ = _arrived(shard, _record(unsent=b"the end of a frame", owed=owed.wire()))
    assert socket.taken() == b"the end of a frame" + owed.wire()


def test_what_is_owed_waits_behind_an_unsent_rest_that_blocks_and_newer_pings_replace_it() -> None:
    owed = Owed()
    owed.pong(b"a", newest_only=False)
    owed.ping(PAYLOAD)
    shard = NotedShard()
    transport, socket, _ = _arrived(shard, _record(unsent=b"rest", owed=owed.wire()), socket=_BlockingSocket(1))
    assert socket.taken() == b"rest"
    transport.ping(PAYLOAD)
    socket.unsent_bytes = 0
    transport.resume_writing()
    assert socket.taken() == owed.wire()


def test_control_frame_on_which_the_socket_blocks_is_known_as_what_is_written() -> None:
    shard = NotedShard()
    transport, socket, _ = _arrived(shard, _record(), socket=_BlockingSocket(1))
    shard.writing.data = b"what somebody else was sent"
    transport.ping(PAYLOAD)
    assert _written(transport) == socket.taken()
    transport.resume_writing()
    assert _written(transport) == b""


def test_what_was_read_before_and_what_the_loop_reads_then_comes_in_order() -> None:
    shard = NotedShard()
    first = text(b"1") + text(b"2")
    transport, _, session = _arrived(shard, _record(parser=ParserRecord(first[:9])), ahead=first[9:] + text(b"3"))
    assert session.inbox.received == []
    transport.data_received(text(b"4"))
    shard.noted_loop.turn()
    assert session.inbox.received == [b"1", b"2", b"3", b"4"]


def test_much_that_was_read_ahead_is_handled_before_more_is_read() -> None:
    shard = NotedShard()
    ahead = text(bytes(500)) * (AHEAD_BYTES // 500)
    transport, socket, session = _arrived(shard, _record(), ahead=ahead)
    assert transport.state is TransportState.HELD
    transport.data_received(text(b"last"))
    assert not socket.reading
    for _ in range(AHEAD_BYTES // 500):
        shard.noted_loop.turn()
    assert len(session.inbox.received) == AHEAD_BYTES // 500 + 1
    assert session.inbox.received[-1] == b"last"
    assert socket.reading


def test_newcomer_that_was_handed_over_with_much_ahead_is_read_no_more_once_the_loop_has_begun() -> None:
    # As what comes from another process: the loop begins to read behind connection_made, which has paused it in vain.
    shard = NotedShard()
    transport, socket = waiting(shard)
    transport.keep(bytes(AHEAD_BYTES + 1))
    assert transport.state is TransportState.WAITING_HELD
    socket.resume_reading()
    transport.data_received(b"more")
    assert not socket.reading


def test_next_ping_comes_when_it_was_due_and_answers_to_the_last_one_are_measured_from_it() -> None:
    shard = NotedShard(ping_period=10, pong_wait=30)
    beat = HeartbeatRecord(7.0, PAYLOAD, 7.0)
    transport, socket, _ = _arrived(shard, _record(heartbeat=beat))
    shard.pass_time(2.9)
    assert socket.taken() == b""
    transport.data_received(bytes((0x8A, 0x88, 0, 0, 0, 0)) + PAYLOAD)
    assert transport.latency_s == pytest.approx(9.9)
    shard.pass_time(0.2)
    ping = socket.taken()
    assert ping[2:] != PAYLOAD
    transport.data_received(pong_to(ping))
    assert transport.latency_s == pytest.approx(0.1, abs=0.05)


def test_time_for_an_answer_goes_on_where_it_was_and_with_the_pings_of_the_options_there() -> None:
    shard = NotedShard(ping_period=3, pong_wait=8)
    transport, socket, session = _arrived(shard, _record(heartbeat=HeartbeatRecord(2.0, PAYLOAD, 6.0, 0.5)))
    assert transport.latency_s == 0.5
    shard.pass_time(1.1)
    assert socket.taken()[2:] == PAYLOAD
    assert shard.cut == []
    shard.pass_time(1.0)
    assert (shard.cut, session.lost) == (["silent"], [("KeepaliveTimeoutError", False)])


def test_pong_clock_that_stood_is_recorded_without_that_time() -> None:
    shard = NotedShard(ping_period=10, pong_wait=30)
    transport, socket, _ = opened(shard)
    shard.pass_time(10.1)
    assert socket.taken()
    shard.pass_time(2)
    transport.stop_reading()
    shard.pass_time(5)
    heartbeat = transport._heartbeat
    assert heartbeat is not None
    record = heartbeat.record(shard.now)
    assert record.last_ping_ago_s == pytest.approx(7.1, abs=0.05)
    assert record.pinged_ago_s == pytest.approx(2.1, abs=0.05)


def test_transport_that_is_stopped_is_pinged_and_never_judged_until_it_reads_on() -> None:
    shard = NotedShard(ping_period=10, pong_wait=30)
    transport, socket, _ = opened(shard)
    transport.stop_reading()
    shard.pass_time(100)
    assert socket.taken()
    assert shard.cut == []
    transport.read_on()
    shard.noted_loop.turn()
    assert (_state(transport), socket.reading) == (TransportState.OPEN, True)
    shard.pass_time(100)
    assert shard.cut == ["silent"]


def test_handler_that_stops_its_transport_in_a_turn_that_goes_on_is_the_last_to_be_given_anything() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.hold()
    transport.data_received(text(b"1") + text(b"2"))
    session.inbox.on_receive = transport.stop_reading
    transport.release()
    shard.noted_loop.turn()
    assert (session.inbox.received, socket.reading) == ([b"1"], False)
    transport.release()
    shard.noted_loop.turn()
    assert (session.inbox.received, socket.reading) == ([b"1"], False)
    session.inbox.on_receive = None
    transport.read_on()
    shard.noted_loop.turn()
    assert (session.inbox.received, socket.reading) == ([b"1", b"2"], True)


def test_turn_that_was_due_when_the_transport_was_stopped_reads_nothing() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.data_received(text(b"x") * 200)
    given = len(session.inbox.received)
    assert given < 200
    transport.stop_reading()
    shard.noted_loop.turn()
    assert (len(session.inbox.received), socket.reading) == (given, False)


def test_session_that_is_behind_when_its_transport_reads_on_has_it_held() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.stop_reading()
    transport.hold()
    session.inbox.behind = True
    transport.read_on()
    shard.noted_loop.turn()
    assert (_state(transport), socket.reading) == (TransportState.HELD, False)
    session.inbox.behind = False
    transport.release()
    shard.noted_loop.turn()
    assert (_state(transport), socket.reading) == (TransportState.OPEN, True)


def test_session_that_ends_while_its_transport_is_stopped_has_the_peers_close_frame_read() -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    transport.stop_reading()
    session.end()
    assert (_state(transport), socket.reading) == (TransportState.CLOSING, True)
    transport.read_on()
    transport.stop_reading()
    assert transport.state is TransportState.CLOSING


class _KernelsSocket(NotedSocket):
    def fileno(self) -> int:
        return 0


def test_socket_that_is_none_of_the_kernels_that_closes_or_whose_rest_is_unknown_does_not_leave() -> None:
    shard = NotedShard()
    assert not _arrived(shard, _record())[0].can_leave
    transport, socket, _ = _arrived(shard, _record(), socket=_KernelsSocket())
    assert _can_leave(transport)
    socket.unsent_bytes = 5
    transport.pause_writing()
    assert not _can_leave(transport)
    transport.resume_writing()
    shard.writing.data = b"5 bytes and more"
    transport.pause_writing()
    assert _can_leave(transport)
    socket.closing = True
    assert not _can_leave(transport)
