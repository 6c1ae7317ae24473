"""`Transport`: peers that do not take what is written to them; with a socket, a shard and a session that only take notes."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar

from tests.support.eventually import eventually
from tests.support.sessions.transport_shell import (
    NotedShard,
    opened,
    state,
)
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Connection, Frame, Server
from wspulse.actors.transport.state import TransportState
from wspulse.actors.wire.frames import PING, PONG, TEXT, encode_frame, unmasked


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
    assert socket.calls[-2:] == ["reset", "abort"]
    assert shard.ending == [transport]
    assert shard.cut == ["stalled"]


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


def test_blocked_peer_has_write_wait_for_the_last_words() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 100
    transport.pause_writing()
    session.end()
    for left in range(99, 94, -1):
        shard.pass_time(1.5)
        socket.unsent_bytes = left
    assert "abort" not in socket.calls
    shard.pass_time(0.6)
    assert socket.calls[-1] == "abort"
    assert shard.cut == ["closing"]


def test_blocked_peer_that_takes_its_last_words_has_the_close_wait_for_its_answer() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 100
    transport.pause_writing()
    session.end()
    shard.pass_time(4)
    socket.unsent_bytes = 0
    transport.resume_writing()
    shard.pass_time(2.9)
    assert "abort" not in socket.calls
    shard.pass_time(0.5)
    assert socket.calls[-1] == "abort"
    assert shard.cut == []


def test_peer_that_is_kicked_and_takes_nothing_is_reset_in_half_a_second() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 100
    transport.pause_writing()
    session.kick()
    shard.pass_time(0.4)
    assert "abort" not in socket.calls
    shard.pass_time(0.4)
    assert socket.calls[-2:] == ["reset", "abort"]


def test_peer_that_is_kicked_and_reads_slowly_hears_why() -> None:
    shard = NotedShard(write_wait=8, ping_period=50, pong_wait=100)
    transport, socket, session = opened(shard)
    socket.unsent_bytes = 100
    transport.pause_writing()
    session.kick()
    for left in range(99, 80, -1):
        shard.pass_time(0.3)
        socket.unsent_bytes = left
    assert "abort" not in socket.calls


def test_peer_that_answers_no_close_frame_and_has_taken_everything_is_not_reset() -> None:
    shard = NotedShard()
    _, socket, session = opened(shard)
    session.end()
    shard.pass_time(3.1)
    assert socket.calls[-1] == "abort"
    assert "reset" not in socket.calls


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


def test_end_that_a_write_finds_is_logged_in_nobodys_context() -> None:
    # asyncio's loop tells of it in the context of whoever wrote, the handler of another session; uvloop does not.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(asyncio.wait_for(_write_and_lose(), 20))


async def _write_and_lose() -> None:
    user: ContextVar[str | None] = ContextVar("user", default=None)
    ended: list[tuple[str, str | None]] = []

    class Noted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "a connection has ended":
                ended.append((vars(record)["connection_id"], user.get()))

    logger = logging.getLogger("noted by a test")
    logger.setLevel(logging.INFO)
    logger.addHandler(Noted())
    server = Server(lambda request: ("lobby", request.query["id"]), access_log=True, logger=logger)

    @server.on_message
    async def talk(connection: Connection, _frame: Frame) -> None:
        if connection.id == "bob":
            await asyncio.get_running_loop().create_future()
        user.set("ada")
        await server.broadcast("lobby", Frame("much", "x" * 16_000_000))

    async with server.serve(patience_s=0) as running:
        # So many frames that the socket is not read any more: only the writer can find its end.
        bob = await RawPeer.upgraded(running.port, "/ws?id=bob", 4096, glued=masked(TEXT, b"{}") * 40)
        ada = await RawPeer.upgraded(running.port, "/ws?id=ada", glued=masked(TEXT, b"{}"))
        transport = server._running().shard.sessions["bob"].transport
        assert transport is not None
        await eventually(lambda: transport.blocked and transport.state is TransportState.HELD, "it reads nothing")
        await bob.close()  # with bytes unread, which resets it
        await eventually(lambda: ended, "it has ended")
        assert ended == [("bob", None)]
        await ada.close()
