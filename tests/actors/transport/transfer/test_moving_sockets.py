"""A socket that moves with what its transport was: what was read, a ping under way, a peer that is gone or has to wait."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.processes.descriptor_shortage import no_descriptor_free
from tests.support.sessions.moved_sockets import SocketPeer, arrive, leave, let_go, move
from tests.support.wire.frame_streams import client_frame
from wspulse.actors.server import Server
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.transport.state import TransportState
from wspulse.actors.transport.transfer.opening import close_copy, close_for_good, open_transport, stream_socket
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.wire.frames import CLOSE, CONTINUATION, PING, PONG, TEXT, encode_close, messages_of
from wspulse.actors.wire.parser_record import ParserRecord


class Noted:
    """What a server's handlers were given."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.got: list[Any] = []
        self.ends: list[str | None] = []
        self.gate: asyncio.Event | None = None
        """What handlers wait for, if there is one."""
        server.on_message(self._take)
        server.on_disconnect(self._ended)
        server.on_transport_drop(self._ended)

    async def _take(self, _connection: Connection, frame: Frame) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.got.append(json.loads(bytes(frame.payload)))

    def _ended(self, _connection: Connection, error: BaseException | None) -> None:
        self.ends.append(type(error).__name__ if error is not None else None)

    @property
    def shard(self) -> Shard:
        return self.server._running().shard

    def session(self, connection_id: str = "ada") -> Session:
        return self.shard.sessions[connection_id]


@asynccontextmanager
async def _serving(**options: Any) -> AsyncIterator[tuple[Noted, int]]:
    def connect(request: Request) -> tuple[str, str]:
        return "lobby", request.query["id"]

    defaults = {"ping_period": 100, "pong_wait": 300, "max_message_size": 1 << 20}
    server = Server(connect, **(defaults | options))
    noted = Noted(server)
    async with server.serve(patience_s=0) as running:
        yield noted, running.port


def _message(payload: str) -> bytes:
    return client_frame(TEXT, b'{"event":"n","payload":"' + payload.encode() + b'"}')


def _transport(session: Session) -> Transport:
    """Asked anew each time, for the type checker too."""
    assert session.transport is not None
    return session.transport


async def _reads(session: Session) -> None:
    """Wait until its parser holds something."""
    await eventually(lambda: _transport(session)._parser.record() != ParserRecord(), "it is read")


async def test_message_of_which_a_part_has_come_is_whole_after_the_move_wherever_it_is_cut() -> None:
    text = '{"event":"n","payload":"Übermäßig 🎈"}'.encode()
    stream = client_frame(TEXT, text[:30], fin=False) + client_frame(PING, b"?") + client_frame(CONTINUATION, text[30:])
    async with _serving() as (noted, port):
        for cut in range(1, len(stream)):
            with await SocketPeer.connected(port, f"/ws?id=a{cut}") as peer:
                session = noted.session(f"a{cut}")
                peer.send(stream[:cut])
                await _reads(session)
                await move(session)
                peer.send(stream[cut:])
                await eventually(lambda: noted.got, "it is handled")
                assert noted.got == ["Übermäßig 🎈"]
                noted.got.clear()
                await peer.has_received(3)
                assert [opcode for opcode, _, _ in messages_of(bytes(peer.received))] == [PONG]


async def test_message_that_is_no_utf8_ends_its_connection_though_its_first_part_has_moved() -> None:
    async with _serving() as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer:
            session = noted.session()
            peer.send(client_frame(TEXT, "🎈".encode()[:2], fin=False))
            await _reads(session)
            await move(session)
            peer.send(client_frame(CONTINUATION, b"x"))
            await eventually(lambda: peer.reads() and peer.has_ended, "it has ended")
            assert bytes(peer.received[2:4]) == (1007).to_bytes(2)


async def test_answer_to_a_ping_that_was_sent_before_the_move_counts_after_it() -> None:
    async with _serving(ping_period=0.3, pong_wait=1.2) as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer:
            session = noted.session()
            ping = (await peer.has_received(10))[:10]
            ((_, payload, _),) = messages_of(ping)
            transport = await move(session)
            assert transport.latency_s is None
            peer.send(client_frame(PONG, payload))
            await eventually(lambda: transport.latency_s is not None, "it is an answer")
            assert session.connection.latency_s is not None
            assert 0 <= session.connection.latency_s < 1


async def test_peer_that_answers_no_ping_is_cut_off_though_its_socket_moves_all_the_time() -> None:
    async with _serving(ping_period=0.2, pong_wait=0.8) as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer:
            session = noted.session()
            loop = asyncio.get_running_loop()
            begin = loop.time()
            while session.state is SessionState.CONNECTED:
                if session.transport is not None:
                    await move(session)
                await asyncio.sleep(0.02)
                peer.reads()
                assert loop.time() < begin + 8
            # The contract: the first ping after 0.2 s, and 0.8 s for its answer.
            assert loop.time() > begin + 0.9
            assert {payload for opcode, payload, _ in messages_of(bytes(peer.received)) if opcode == PING} != set()
            assert len({payload for opcode, payload, _ in messages_of(bytes(peer.received)) if opcode == PING}) == 1


async def test_pong_and_ping_that_were_owed_to_a_blocked_peer_come_behind_the_rest_of_the_write() -> None:
    async with _serving(send_buffer_bytes=64 << 20) as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada", receive_buffer_bytes=4096) as peer:
            session, shard = noted.session(), noted.shard
            large = shard.encode(Frame("n", "x" * 9_000_000))
            session.send(large)
            session.flush()
            transport = session.transport
            assert transport is not None
            assert transport.blocked
            peer.send(client_frame(PING, b"mine"))
            await eventually(lambda: _transport(session)._owed is not None, "the pong is owed")
            transport.ping(b"yours")
            small = shard.encode(Frame("n", "y"))
            session.send(small)
            for _ in range(2):
                transport = await move(session)
                assert transport.blocked
            expected = large + bytes((0x89, 5)) + b"yours" + bytes((0x8A, 4)) + b"mine" + small
            assert await peer.has_received(len(expected)) == expected


@pytest.mark.parametrize(
    "goodbye", [b"", client_frame(CLOSE, encode_close(1000)[2:])], ids=["silent", "with a close frame"]
)
async def test_peer_that_sent_and_closed_while_nobody_read_loses_none_of_its_messages(goodbye: bytes) -> None:
    async with _serving() as (noted, port):
        for _ in range(20):
            with await SocketPeer.connected(port, "/ws?id=ada") as peer:
                session = noted.session()
                assert session.transport is not None
                session.transport.stop_reading()
                for number in range(300):
                    peer.send(_message(str(number)))
                peer.send(goodbye)
                record, descriptor = await leave(let_go(session))
                # These are written at once, each by itself, to a peer that is gone: its reset meets the second one.
                for _ in range(3):
                    session.send(noted.shard.encode(Frame("n", "x" * 50_000)))
            await arrive(session, record, descriptor)
            await eventually(lambda: noted.ends, "it has ended")
            assert noted.got == [str(number) for number in range(300)]
            assert noted.ends == [None if goodbye else "ConnectionLostError"]
            noted.got.clear()
            noted.ends.clear()


async def test_transport_that_is_stopped_reads_nothing_though_its_inbox_catches_up_until_it_reads_on() -> None:
    async with _serving() as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer:
            session = noted.session()
            noted.gate = asyncio.Event()
            for number in range(40):
                peer.send(_message(str(number)))
            transport = session.transport
            assert transport is not None
            await eventually(lambda: _transport(session).state is TransportState.HELD, "it is behind")
            transport.stop_reading()
            noted.gate.set()
            await eventually(lambda: not session.inbox.busy, "it has caught up")
            handled = len(noted.got)
            assert handled < 40
            for _ in range(5):
                await asyncio.sleep(0)
            assert (len(noted.got), transport.state) == (handled, TransportState.STOPPED)
            transport.read_on()
            await eventually(lambda: len(noted.got) == 40, "it has read on")
            assert noted.got == [str(number) for number in range(40)]


async def test_transport_that_is_held_moves_with_what_it_has_read_and_stays_held_while_its_session_is_behind() -> None:
    async with _serving() as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer:
            session = noted.session()
            noted.gate = asyncio.Event()
            expected = [str(number) for number in range(400)]
            for number in range(200):
                peer.send(_message(str(number)))
            transport = session.transport
            assert transport is not None
            await eventually(lambda: _transport(session).state is TransportState.HELD, "it is behind")
            assert transport.can_leave
            transport = await move(session)
            assert transport.state is TransportState.HELD
            for number in range(200, 400):
                peer.send(_message(str(number)) + client_frame(PING, bytes(100)))
            await asyncio.sleep(0.05)
            assert transport.state is TransportState.HELD
            assert transport._client is not None
            assert not transport._client.is_reading()
            transport.stop_reading()
            noted.gate.set()
            await eventually(lambda: not session.inbox.busy, "what had been read is handled")
            await move(session)
            await eventually(lambda: len(noted.got) == 400, "all is handled")
            assert noted.got == expected


async def test_transport_stays_as_it_was_where_no_descriptor_is_free() -> None:
    async with _serving() as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer:
            session = noted.session()
            transport = let_go(session)
            with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
                leave(transport)
            assert transport.state is TransportState.OPEN
            session.attach(transport)
            peer.send(_message("1"))
            await eventually(lambda: noted.got == ["1"], "it is read as before")


def test_peer_notices_nothing_of_a_copy_that_is_closed_and_the_end_of_one_that_is_closed_for_good() -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.setblocking(False)
        close_copy(os.dup(ours.fileno()))
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        close_for_good(stream_socket(os.dup(ours.fileno())))
        assert peer.recv(1) == b""


async def test_descriptor_that_is_no_socket_any_more_is_not_opened() -> None:
    class Refusing:
        async def connect_accepted_socket(self, *_: object) -> None:
            raise OSError(9, "Bad file descriptor")

    loop: Any = Refusing()
    ours, peer = socket.socketpair()
    with peer:
        assert not open_transport(loop, ours, asyncio.Protocol())
        assert ours.fileno() < 0
        assert peer.recv(1) == b""


async def test_peer_that_has_ended_its_stream_and_one_that_is_told_to_go_do_not_leave() -> None:
    async with _serving() as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada") as peer, await SocketPeer.connected(port, "/ws?id=bob"):
            noted.gate = asyncio.Event()
            peer.send(_message("1"))
            session = noted.session()
            transport = session.transport
            assert transport is not None
            await eventually(lambda: session.inbox.busy, "its handler runs")
            peer.socket.shutdown(1)
            await eventually(lambda: transport.half_closed, "it has ended")
            assert not transport.can_leave
            transport.stop_reading()
            assert transport.state is TransportState.OPEN
            noted.gate.set()
            other = noted.session("bob").transport
            assert other is not None
            assert other.can_leave
            noted.shard.kick("bob")
            assert not other.can_leave


async def test_move_is_no_end_for_the_access_log_and_its_counts_go_along(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wspulse.access")
    async with _serving(access_log=True, send_buffer_bytes=64 << 20) as (noted, port):
        with await SocketPeer.connected(port, "/ws?id=ada", receive_buffer_bytes=4096) as peer:
            session, shard = noted.session(), noted.shard
            peer.send(_message("1") + _message("2"))
            await eventually(lambda: len(noted.got) == 2, "both are handled")
            for _ in range(2):
                session.send(shard.encode(Frame("n", "x" * 9_000_000)))
                session.flush()
            record, descriptor = await leave(let_go(session))
            assert record.counted is not None
            assert record.counted[1:] == (2, 1)
            assert record.unsent
            assert [line.getMessage() for line in caplog.records if line.name == "wspulse.access"] == [
                "a connection was opened"
            ]
            await arrive(session, record, descriptor)
            await eventually(lambda: peer.reads() and session.queued_frames == 0, "it has taken all")
            peer.send(_message("3"))
            await eventually(lambda: len(noted.got) == 3, "it is handled")
        await eventually(lambda: "ended" in caplog.records[-1].getMessage(), "it has ended")
        line = vars(caplog.records[-1])
        assert (line["connection_id"], line["frames_in"], line["frames_out"]) == ("ada", 3, 2)
