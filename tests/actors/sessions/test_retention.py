"""What remains of a session that has ended: nothing, without Python's collector of cycles; and what still works of a connection
that the application has kept."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Accept, Connection, ConnectionClosedError, Frame, Request, Server
from wspulse.actors.accept.newcomer import Newcomer
from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.exact.inbox import ExactInbox
from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.rooms.further import FurtherRooms
from wspulse.actors.sessions.session import Session
from wspulse.actors.transport.patience.heartbeat import Heartbeat
from wspulse.actors.transport.transport import Transport
from wspulse.actors.wire.frames import CLOSE, TEXT
from wspulse.actors.wire.framing import FrameParser

_OURS: tuple[type, ...] = (
    Session,
    FurtherRooms,
    Inbox,
    LocalConnection,
    Request,
    Transport,
    Heartbeat,
    FrameParser,
    Newcomer,
    Callback,
)
_OURS += (ExactSession, ExactInbox, SendLog)

_EXACT = ("Sec-WebSocket-Protocol: wspulse.1",)

_GOODBYE = masked(CLOSE, b"\x03\xe8")

PEERS = 5

ENDS = {
    "the peer closes": [_GOODBYE],
    "the peer drops": [],
    "the peer breaks the protocol": [b"\xff\xff\xff\xff"],
    "the application closes": [masked(TEXT, b'{"event":"close"}'), _GOODBYE],
    "the application kicks": [masked(TEXT, b'{"event":"kick"}'), _GOODBYE],
    "a handler raises": [masked(TEXT, b'{"event":"raise"}'), _GOODBYE],
    "a handler raises behind others": [
        masked(TEXT, b'{"event":"x"}') * 3 + masked(TEXT, b'{"event":"raise"}'),
        _GOODBYE,
    ],
    "the server closes": [],
    "another connection has the id": [],
}


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ours() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in _OURS)


def make_server(is_async: bool, **options: Any) -> Server:
    server = Server(
        lambda request: Accept("room", request.query["id"], rooms=["further"]),
        **options,
    )

    async def play(connection: Connection, event: str) -> None:
        if event == "close":
            await connection.close()
        elif event == "kick":
            await server.kick(connection.id)

    async def handle(connection: Connection, frame: Frame) -> None:
        await asyncio.sleep(0)
        if frame.event == "raise":
            raise LookupError(connection)
        await play(connection, frame.event)

    async def slowly(*_: object) -> None:
        await asyncio.sleep(0.01)

    tasks = set()

    def handle_at_once(connection: Connection, frame: Frame) -> None:
        if frame.event == "raise":
            raise LookupError(connection)
        task = asyncio.get_running_loop().create_task(play(connection, frame.event))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server.on_message(handle if is_async else handle_at_once)
    # A slow on_connect puts what comes into the mailbox.
    server.on_connect(slowly)
    server.on_disconnect(slowly if is_async else lambda *_: None)
    return server


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize(
    "options", [{}, {"resume_window": 0.1}, {"resume_window": 0.1, "on_duplicate": "resume"}], ids=str
)
async def test_nothing_remains_of_sessions_that_have_ended(
    end: str, is_async: bool, options: dict[str, Any], without_collector: None
) -> None:
    server = make_server(is_async, **options)
    logging.getLogger("wspulse").disabled = True  # pytest would keep the errors that are logged
    before = ours()
    try:
        async with server.serve() as running:
            shard = server._running().shard
            for number in range(PEERS):
                await _play(running.port, f"/ws?id={number}", end)
            if end == "the server closes":
                peers = [await RawPeer.upgraded(running.port, f"/ws?id={number}") for number in range(PEERS)]
                for peer in peers:
                    peer.writer.write(_GOODBYE)
                await server.close()
                for peer in peers:
                    await peer.close()
                del peers, peer
            await eventually(
                lambda: not (shard.sessions or shard.unfinished or shard._ending), "all sessions have ended"
            )
            # What waits for its time only looks then whether it still applies.
            shard._ticker._deadlines.take_due(float("inf"))
            await eventually(lambda: not ours() - before, f"nothing is left: {ours() - before}", 10)
    finally:
        logging.getLogger("wspulse").disabled = False


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("options", [{}, {"resume_window": 0.1}], ids=str)
async def test_nothing_remains_of_exact_sessions_that_have_ended(
    end: str, options: dict[str, Any], without_collector: None
) -> None:
    server = make_server(True, **options)
    logging.getLogger("wspulse").disabled = True
    before = ours()
    try:
        async with server.serve() as running:
            shard = server._running().shard
            for number in range(PEERS):
                await _play(running.port, f"/ws?id={number}", end, _EXACT)
            if end == "the server closes":
                await server.close()
            await eventually(
                lambda: not (shard.sessions or shard.unfinished or shard._ending), "all sessions have ended"
            )
            # What waits for its time holds nothing: neither that of an acknowledgement, nor the next sign of life.
            await eventually(
                lambda: set(ours() - before) <= {"Heartbeat", "Newcomer", "Transport"}, f"left is {ours() - before}", 2
            )
    finally:
        logging.getLogger("wspulse").disabled = False


async def _play(port: int, target: str, end: str, lines: tuple[str, ...] = ()) -> None:
    peer = await RawPeer.upgraded(port, target, lines=lines)
    if end == "another connection has the id":
        newer = await RawPeer.upgraded(port, target, lines=lines)
        assert (await peer.close_code())[0] == 1000
        peer.writer.write(_GOODBYE)
        newer.writer.write(_GOODBYE)
        assert await newer.close_code() in ((1000, ""), (1006, ""))
        await newer.close()
    for data in ENDS[end]:
        peer.writer.write(data)
        await peer.writer.drain()
        if data is not _GOODBYE:
            await peer.close_code()
    await peer.close()


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_connection_that_the_application_keeps_answers_after_its_end(is_async: bool) -> None:
    kept: list[Connection] = []
    server = make_server(is_async)

    @server.on_message
    def keep(connection: Connection, _frame: Frame) -> None:
        connection.state["name"] = "Ada"
        kept.append(connection)

    async with server.serve() as running:
        shard = server._running().shard
        peer = await RawPeer.upgraded(running.port, "/ws?id=ada", glued=masked(TEXT, b"{}"))
        await eventually(lambda: kept, "it was handled")
        await peer.close()
        await eventually(lambda: not shard.unfinished, "its last callback has run")
        (connection,) = kept
        assert (connection.id, connection.room_id, connection.state) == ("ada", "room", {"name": "Ada"})
        assert connection.request.query["id"] == "ada"
        assert connection.closed
        assert repr(connection) == "<Connection 'ada' in 'room', closed>"
        await connection.wait_closed()
        await connection.close()
        with pytest.raises(ConnectionClosedError):
            await connection.send(Frame("x"))
        with pytest.raises(ConnectionClosedError):
            connection.send_nowait(Frame("x"))


async def test_deadlines_that_are_still_to_come_hold_nothing_of_a_client_that_is_gone(without_collector: None) -> None:
    server = make_server(True)
    before = ours()
    async with server.serve() as running:
        shard = server._running().shard
        for number in range(PEERS):
            peer = await RawPeer.upgraded(running.port, f"/ws?id={number}")
            await peer.close()
            del peer
        await eventually(lambda: not shard.unfinished, "all sessions have ended")
        assert len(shard._ticker) >= 2 * PEERS, "that of the upgrade, and the first ping's"
        await eventually(
            lambda: set(ours() - before) <= {"Heartbeat", "Newcomer", "Transport"},
            "nothing but what is empty is left",
            2,
        )
