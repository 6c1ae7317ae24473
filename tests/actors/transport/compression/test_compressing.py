"""Clients with compression beside those without, on real sockets: what each is sent, and how often that is made."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from unittest.mock import ANY

import pytest

from tests.support.eventually import eventually
from tests.support.sessions.moved_sockets import SocketPeer, leave, let_go, move
from tests.support.sessions.moved_sockets import arrive as arrive_with
from tests.support.wire.compressed import compressed_frame, compressed_message, deflated, messages_in, whole_messages
from tests.support.wire.frame_streams import client_frame
from tests.support.wire.raw_peer import RawPeer, head
from wspulse.actors.server import Server
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.actors.transport.transport import Transport
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.wire.compression.deflater import Deflater
from wspulse.actors.wire.compression.inflating_parser import InflatingParser
from wspulse.actors.wire.frames import CLOSE, PING, PONG, TEXT
from wspulse.actors.wire.framing import FrameParser
from wspulse.actors.wire.parser_record import ParserRecord

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
SMALL_WINDOW = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9"
LONG = "größer 🎈 " * 100


class Stage:
    """A server that notes what its handler is given."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = 0
        self.got: list[Any] = []
        server.on_message(self._take)

    def _take(self, _connection: Connection, frame: Frame) -> None:
        self.got.append(frame.decode())

    @property
    def shard(self) -> Shard:
        return self.server._running().shard

    def session(self, connection_id: str) -> Session:
        return self.shard.sessions[connection_id]

    def transport(self, connection_id: str) -> Transport:
        transport = self.session(connection_id).transport
        assert transport is not None
        return transport

    async def peer(self, connection_id: str, *lines: str, receive_buffer_bytes: int | None = None) -> SocketPeer:
        return await SocketPeer.connected(
            self.port, f"/ws?id={connection_id}", *lines, receive_buffer_bytes=receive_buffer_bytes
        )


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Stage]:
    def connect(request: Request) -> tuple[str, str]:
        return "lobby", request.query["id"]

    defaults: dict[str, Any] = {
        "compression": "deflate",
        "ping_period": 100,
        "pong_wait": 300,
        "max_message_size": 1 << 20,
    }
    server = Server(connect, **(defaults | options))
    stage = Stage(server)
    async with server.serve(patience_s=0) as running:
        stage.port = running.port
        yield stage


def payloads(received: bytes | bytearray, window_bits: int = 15) -> list[Any]:
    """Of all messages, which must be whole."""
    return [
        json.loads(content)["payload"]
        for opcode, content, _ in messages_in(bytes(received), window_bits)
        if opcode == TEXT
    ]


async def heard(peer: SocketPeer, count: int, window_bits: int = 15) -> list[Any]:
    """Wait for so many messages."""

    await eventually(lambda: whole_messages(peer.reads()) >= count, f"{count} messages are received")
    return payloads(peer.received, window_bits)


# Which transports do.


async def test_only_a_client_that_offers_it_to_a_server_that_has_it_gets_a_transport_that_compresses() -> None:
    async with serving() as stage:
        with await stage.peer("offers", OFFER), await stage.peer("small", SMALL_WINDOW), await stage.peer("plain"):
            for name, window_bits in (("offers", 15), ("small", 9)):
                transport = stage.transport(name)
                assert (type(transport), transport.window_bits) == (CompressingTransport, window_bits)
                assert type(transport._parser) is InflatingParser
            plain = stage.transport("plain")
            assert (type(plain), type(plain._parser), plain.window_bits) == (Transport, FrameParser, 0)
            assert plain.write == plain._client.write  # type: ignore[union-attr]
    async with serving(compression=None) as stage:
        with await stage.peer("offers", OFFER):
            assert type(stage.transport("offers")) is Transport


@pytest.mark.parametrize(
    ("compression", "line", "expected"),
    [
        ("deflate", OFFER, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
        ("deflate", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8", None),
        ("deflate", "X-Nothing: x", None),
        (None, OFFER, None),
        (None, "Sec-WebSocket-Extensions: ;malformed", None),
    ],
)
async def test_answer_says_what_is_agreed_on_and_nothing_else(
    compression: str | None, line: str, expected: str | None
) -> None:
    async with serving(compression=compression) as stage, await RawPeer.dial(stage.port) as peer:
        peer.writer.write(head("/ws?id=a", line))
        status, *fields = (await peer.head()).decode().split("\r\n")
        assert status == "HTTP/1.1 101 Switching Protocols"
        said = [field for field in fields if field.lower().startswith("sec-websocket-extensions")]
        assert said == ([] if expected is None else [f"Sec-WebSocket-Extensions: {expected}"])


async def test_malformed_offer_is_answered_400_where_the_server_has_compression() -> None:
    async with serving() as stage:
        async with await RawPeer.dial(stage.port) as peer:
            peer.writer.write(head("/ws?id=a", "Sec-WebSocket-Extensions: permessage-deflate;;"))
            assert (await peer.head()).startswith(b"HTTP/1.1 400 ")
        assert stage.shard.metrics.refused_400 == 1


# What they are sent.


async def test_broadcast_is_compressed_once_per_turn_and_window_and_reaches_all_in_one_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    deflate = Deflater._deflated

    def noted(self: Deflater, payload: bytes) -> bytes:
        made.append(self._window_bits)
        return deflate(self, payload)

    monkeypatch.setattr(Deflater, "_deflated", noted)
    async with serving() as stage:
        kinds = [("full", OFFER, 15), ("small", SMALL_WINDOW, 9), ("plain", "X-Nothing: x", 15)] * 5
        peers = [
            (await stage.peer(f"{name}{number}", line), window_bits)
            for number, (name, line, window_bits) in enumerate(kinds)
        ]
        expected: list[Any] = []
        for turn in range(4):
            for number in range(3):
                expected.append([turn, number, LONG])
                stage.server.broadcast_nowait("lobby", Frame("n", expected[-1]))
            expected.append("short")
            await stage.server.broadcast("lobby", Frame("n", "short"))
            for peer, window_bits in peers:
                assert await heard(peer, len(expected), window_bits) == expected
        assert sorted(made) == [9] * 12 + [15] * 12
        for number, (peer, window_bits) in enumerate(peers):
            forms = [is_compressed for _, _, is_compressed in messages_in(bytes(peer.received), window_bits)]
            assert forms == ([True, True, True, False] if kinds[number][0] != "plain" else [False] * 4) * 4
            peer.socket.close()


async def test_direct_frames_pongs_and_last_words_come_in_their_order() -> None:
    async with serving() as stage:
        with await stage.peer("ada", OFFER) as peer:
            peer.send(
                client_frame(PING, b"?" * 125)
                + compressed_frame(TEXT, deflated(json.dumps({"payload": LONG}).encode()))
            )
            await eventually(lambda: stage.got, "it is handled")
            assert stage.got == [LONG]
            for number in range(3):
                await stage.server.send("ada", Frame("n", [number, LONG]))
            (connection,) = await stage.server.get_connections("lobby")
            await connection.close(4000, "r" * 123)
            await eventually(lambda: peer.reads() and bytes(peer.received).endswith(b"r" * 123), "it ends")
            found = messages_in(bytes(peer.received))
            assert [opcode for opcode, _, _ in found] == [PONG, TEXT, TEXT, TEXT, CLOSE]
            assert [is_compressed for _, _, is_compressed in found] == [False, True, True, True, False]
            assert payloads(peer.received) == [[number, LONG] for number in range(3)]


async def test_peer_that_breaks_the_protocol_in_a_compressed_message_is_told_so() -> None:
    async with serving(max_message_size=1000) as stage:
        for number, (data, code) in enumerate(
            (
                (compressed_frame(TEXT, b"garbage"), 1007),
                (compressed_frame(TEXT, deflated(b"\xff" * 300)), 1007),
                (compressed_frame(TEXT, deflated(bytes(1001))), 1009),
                (client_frame(PING, b"", rsv=4), 1002),
            )
        ):
            with await stage.peer(f"a{number}", OFFER) as peer:
                peer.send(data)
                await eventually(lambda peer=peer: peer.reads() and peer.has_ended, "it ends")  # type: ignore[misc]
                ((opcode, content, _),) = messages_in(bytes(peer.received))
                assert (opcode, int.from_bytes(content[:2])) == (CLOSE, code)
        metrics = stage.shard.metrics
        assert (metrics.protocol_errors, metrics.messages_too_big) == (3, 1)


async def test_transport_that_is_gone_is_freed_at_once() -> None:
    async with serving(access_log=False) as stage:
        with await stage.peer("ada", OFFER) as peer:
            await stage.server.send("ada", Frame("n", LONG))
            await heard(peer, 1)
            transport = stage.transport("ada")
            gc.disable()
            try:
                peer.socket.close()
                # This function has it, and the question.
                await eventually(lambda: sys.getrefcount(transport) == 2, "nobody else has it")
            finally:
                gc.enable()


# Peers that take nothing, and moves.


def noise(draw: Random, size_bytes: int) -> str:
    """Text of which half is left when it is compressed."""
    return draw.randbytes(size_bytes // 2).hex()


def until_blocked(session: Session, write: Callable[[int], bytes]) -> list[bytes]:
    assert session.transport is not None
    written: list[bytes] = []
    while not session.transport.blocked:
        written.append(write(len(written)))
        assert len(written) < 500
    return written


@pytest.mark.race
@pytest.mark.parametrize("moves", [False, True])
async def test_blocked_peer_gets_the_exact_stream_whether_its_socket_moves_or_not(
    moves: bool, draw: Random, race_rounds: int
) -> None:
    async with serving(send_buffer_bytes=64 << 20) as stage:
        for number in range(race_rounds):
            name = f"a{number}"
            with await stage.peer(name, OFFER, receive_buffer_bytes=4096) as peer:
                session = stage.session(name)

                def write(number: int, session: Session = session) -> bytes:
                    wire = stage.shard.encode(Frame("n", [number, noise(draw, draw.randrange(300_000))]))
                    session.send(wire)
                    session.flush()
                    return wire

                expected = until_blocked(session, write)
                if moves:
                    transport = let_go(session)
                    expected += [write(number) for number in range(1000, 1003)]
                    left = leave(transport)
                    if draw.random() < 0.8:
                        peer.reads()
                    record, descriptor = await left
                    assert record.window_bits == 15
                    transport = await arrive_with(session, record, descriptor)
                    assert type(transport) is CompressingTransport
                expected += [write(number) for number in range(2000, 2004)]
                stage.server.broadcast_nowait("lobby", Frame("n", [3000, noise(draw, 5000)]))
                found = await heard(peer, len(expected) + 1)
                assert found == [*map(payload_of, expected), [3000, ANY]]
                assert stage.session(name).dropped_frames == 0


async def test_plain_peer_that_blocks_behind_a_compressing_one_moves_with_its_own_rest(draw: Random) -> None:
    async with serving(send_buffer_bytes=64 << 20) as stage:
        # A room writes to its members in the order in which they came.
        with await stage.peer("first", OFFER) as first, await stage.peer("plain", receive_buffer_bytes=4096) as peer:

            def write(number: int) -> bytes:
                wire = stage.shard.encode(Frame("n", [number, noise(draw, draw.randrange(300_000))]))
                stage.server.broadcast_nowait("lobby", Frame("n", payload_of(wire)))
                stage.session("plain").flush_rooms()
                return wire

            expected = until_blocked(stage.session("plain"), write)
            await move(stage.session("plain"))
            expected += [write(number) for number in range(1000, 1003)]
            await eventually(lambda: len(peer.reads()) >= sum(map(len, expected)), "it has everything")
            assert bytes(peer.received) == b"".join(expected)
            assert await heard(first, len(expected)) == [*map(payload_of, expected)]


def payload_of(wire: bytes) -> Any:
    ((_, content, _),) = messages_in(wire)
    return json.loads(content)["payload"]


async def test_compressed_message_of_which_a_part_has_come_is_whole_after_the_move_wherever_it_is_cut() -> None:
    data = deflated(json.dumps({"event": "n", "payload": "Übermäßig 🎈"}).encode())
    stream = compressed_message(TEXT, data, [7, 30], client_frame(PING, b"?"))
    async with serving() as stage:
        for cut in range(1, len(stream), 4):
            with await stage.peer(f"a{cut}", OFFER) as peer:
                session = stage.session(f"a{cut}")
                peer.send(stream[:cut])

                def is_read(session: Session = session) -> bool:
                    assert session.transport is not None
                    return session.transport._parser.record() != ParserRecord()

                await eventually(is_read, "it is read")
                await move(session)
                peer.send(stream[cut:])
                await eventually(lambda: stage.got, "it is handled")
                assert stage.got == ["Übermäßig 🎈"]
                stage.got.clear()
                await stage.server.send(session.id, Frame("n", LONG))
                assert await heard(peer, 1) == [LONG]
                found = messages_in(bytes(peer.received))
                assert [(opcode, is_compressed) for opcode, _, is_compressed in found] == [
                    (PONG, False),
                    (PONG, False),
                    (TEXT, True),
                ]
