"""`Transport`: its pings, and peers that leave them unanswered; with a socket, a shard and a session that only take notes."""

from __future__ import annotations

from tests.support.sessions.transport_shell import (
    ANSWER,
    NotedSession,
    NotedShard,
    opened,
    pong_to,
    waiting,
)
from wspulse.actors.wire.frames import PONG, unmasked


def test_pings_go_out_each_period_and_one_without_an_answer_ends_the_transport() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5)
    transport, socket, session = opened(shard)
    shard.pass_time(2.1)
    transport.data_received(pong_to(socket.taken()))
    shard.pass_time(2)
    second = socket.taken()
    shard.pass_time(2)
    assert socket.taken() == second
    shard.pass_time(2.8)
    assert session.lost == []
    shard.pass_time(0.4)
    assert session.lost == [("KeepaliveTimeoutError", False)]
    assert shard.cut == ["silent"]


def test_answer_to_an_earlier_copy_of_a_ping_is_one() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5)
    transport, socket, session = opened(shard)
    shard.pass_time(2.1)
    first = socket.taken()
    shard.pass_time(4.4)
    transport.data_received(pong_to(first))
    shard.pass_time(6)
    assert session.lost == []


def test_pong_that_answers_no_ping_is_no_sign_of_life() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5)
    transport, _, session = opened(shard)
    for _ in range(8):
        transport.data_received(unmasked(PONG, b"") + unmasked(PONG, b"12345678"))
        transport.data_received(b"\x01\x80\0\0\0\0" if _ == 0 else b"\x00\x80\0\0\0\0")
        shard.pass_time(0.9)
    assert session.lost == [("KeepaliveTimeoutError", False)]


def test_pong_clock_stands_while_the_peer_is_not_read() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5)
    transport, socket, session = opened(shard)
    shard.pass_time(6)
    transport.hold()
    socket.taken()
    shard.pass_time(60)
    assert session.lost == []
    assert socket.taken().count(b"\x89\x08") == 30
    transport.release()
    shard.noted_loop.turn()
    # A second of its five was left.
    shard.pass_time(0.9)
    assert session.lost == []
    shard.pass_time(2.2)
    assert session.lost == [("KeepaliveTimeoutError", False)]


def test_pong_clock_stands_while_the_peer_is_blocked_and_its_ping_goes_first_when_it_is_not() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5, write_wait=8)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 1000
    transport.pause_writing()
    for _ in range(60):
        socket.unsent_bytes -= 1
        shard.pass_time(1)
    assert session.lost == []
    assert socket.taken() == b""
    session.unwritten = b"buffered"
    session.unblocked = session.flush  # type: ignore[method-assign]
    transport.resume_writing()
    written = socket.taken()
    assert written.startswith(b"\x89\x08")
    assert written.endswith(b"buffered")
    shard.pass_time(4.8)
    assert session.lost == []
    transport.data_received(pong_to(written))
    shard.pass_time(4.8)
    assert session.lost == []


def test_time_in_which_a_newcomer_was_not_read_does_not_lengthen_its_pong_wait() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5, max_message_size=1024 * 1024)
    transport, _ = waiting(shard)
    transport.data_received(b"\x82\xff" + (700_000).to_bytes(8) + b"x" * (512 * 1024))
    shard.pass_time(8)
    transport.accept(ANSWER)
    session = transport.session = NotedSession(transport)
    transport.start()
    shard.noted_loop.turn()
    shard.pass_time(7.2)
    assert session.lost == [("KeepaliveTimeoutError", False)]


def test_answers_to_pings_are_measured_where_somebody_looks() -> None:
    shard = NotedShard(ping_period=2, pong_wait=5)
    shard.metrics.measure()
    transport, socket, _session = opened(shard)
    shard.pass_time(2.3)
    ping = socket.taken()
    transport.data_received(pong_to(ping))
    transport.data_received(pong_to(ping))  # which answers nothing
    assert transport.latency_s is not None
    told = shard.metrics.histograms.told()["wspulse_pong_seconds"][""]
    assert told == {"sum_us": round(transport.latency_s * 1_000_000), "8": 1}, "0.3 s"
