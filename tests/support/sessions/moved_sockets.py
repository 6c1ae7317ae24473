"""Real sockets that leave their transport and arrive at another: a peer that reads when it is told to, and the step of a shard
that lets a session go and takes it back.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import head
from wspulse.actors.sessions.session import Session
from wspulse.actors.transport.transfer.arrival import Arrival
from wspulse.actors.transport.transfer.opening import open_transport, read_ahead, stream_socket
from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.transport.transport import Transport

__all__ = ["SocketPeer", "arrive", "leave", "let_go", "move"]


class SocketPeer:
    """Upgraded by `connected`; what it `reads` comes at once, in the step that says so."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = bytearray()
        """Behind the 101."""
        self.has_ended = False

    @classmethod
    async def connected(
        cls, port: int, target: str, *lines: str, receive_buffer_bytes: int | None = None
    ) -> SocketPeer:
        sock = socket.socket()
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, head(target, *lines))
        peer = cls(sock)
        await eventually(lambda: peer.reads() and b"\r\n\r\n" in peer.received, "it is answered")
        answer, _, rest = bytes(peer.received).partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        peer.received = bytearray(rest)
        return peer

    def __enter__(self) -> SocketPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        assert self.socket.send(data) == len(data)

    def reads(self, most: int = 1 << 30) -> bytearray:
        """All that is here now, up to `most` bytes. Returns what it has received in all."""
        try:
            while most > 0 and not self.has_ended:
                data = self.socket.recv(min(most, 1 << 20))
                self.has_ended = not data
                self.received += data
                most -= len(data)
        except BlockingIOError:
            pass
        return self.received

    async def has_received(self, size: int) -> bytes:
        """Wait until so many bytes have come, and see that no more do in that turn."""
        await eventually(lambda: len(self.reads()) >= size or self.has_ended, f"{size} bytes are received")
        return bytes(self.received)


def let_go(session: Session) -> Transport:
    """As a shard does whose session moves: what it is sent from now on waits for its next transport."""
    transport = session.transport
    assert transport is not None
    session.flush()
    session.transport = transport.session = None
    session._set_slow()
    return transport


def leave(transport: Transport) -> asyncio.Future[tuple[TransportRecord, int]]:
    loop = asyncio.get_running_loop()
    left: asyncio.Future[tuple[TransportRecord, int]] = loop.create_future()

    def taken(record: TransportRecord, descriptor: int) -> None:
        left.set_result((record, descriptor))

    transport.leave(taken)
    return left


async def arrive(session: Session, record: TransportRecord, descriptor: int) -> Transport:
    """Attach the session to the socket that has left, by way of bytes, as in another process."""
    shard: Any = session.shard
    record = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=TransportRecord)
    arrived: asyncio.Future[Transport] = shard.loop.create_future()

    def attach(transport: Transport) -> None:
        access, connection = shard.journal.access, session.connection
        if access is not None:
            access.arrived(transport, connection.request, session.id, session.room.id, record.counted)
        session.attach(transport)
        if access is not None:
            access.joined(transport)
        arrived.set_result(transport)

    client = stream_socket(descriptor)
    arrival = Arrival(shard, record, attach)
    if data := read_ahead(client):
        arrival.keep(data)
    assert open_transport(shard.loop, client, arrival)
    return await arrived


async def move(session: Session) -> Transport:
    """All of it."""
    return await arrive(session, *await leave(let_go(session)))
