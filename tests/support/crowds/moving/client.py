"""`Client`: one WebSocket client of the moving crowd on a bare socket, as light as thousands of them must be.

It cuts the server's frames itself, which also shows whether the byte stream is whole; its own frames have a mask of zeros, which
costs nothing. What it does besides listening is up to `habits`.
"""

from __future__ import annotations

import asyncio
import json
import socket
from time import monotonic
from typing import Any, cast

import msgspec

from tests.support.crowds.moving.heard import Heard
from tests.support.crowds.moving.silence import Silence
from tests.support.wire.raw_peer import head

__all__ = ["Client", "wire"]

NO_MASK = b"\0\0\0\0"
OPENED_WITHIN_S = 30.0


class Frame(msgspec.Struct):
    event: str
    payload: Any = None
    id: str = ""


_decode = msgspec.json.Decoder(Frame).decode


def wire(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a client, masked with zeros."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + NO_MASK + payload
    if size < 65536:
        return bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2) + NO_MASK + payload
    return bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8) + NO_MASK + payload


class CutOffError(ConnectionError):
    """The connection ended before the 101, without an answer."""


class Client(asyncio.Protocol):
    """See the module. `plan` has its id, its rooms and its kind; `silence` is the books of all clients of this process."""

    def __init__(self, plan: dict[str, Any], address: tuple[str, int, str], silence: Silence) -> None:
        self.plan = plan
        self.id: str = plan["id"]
        self.heard = Heard()
        self.sent = 0
        """Numbered frames."""
        self.relayed = 0
        self.visits = 0
        self.flooded = 0
        self.cut_off = 0
        """Times that it came back and was cut off before the 101."""
        self.end: tuple[int, str] | None = None
        """Of the socket, when it was not this client that wanted it."""
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        self.is_halfway = False
        """In the middle of a frame: nothing else may be sent."""
        self.heard_at = 0.0
        self._owed: list[bytes] = []
        self._is_plain = plan["kind"] == "plain"
        self._address = address
        self._silence = silence
        self._rest = b""
        self._is_told = False
        self._close: tuple[int, str] = (1006, "")
        self._opened: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """For answers to what it has sent."""
        return self.is_open and self.heard.newest.get("answer", {}).get("", -1) < self.sent - 1

    async def open(self) -> None:
        """Connect, and wait for the 101. Raises OSError (CutOffError), TimeoutError."""
        loop = asyncio.get_running_loop()
        host, port, path = self._address
        sock = socket.socket()
        if self.plan["kind"] == "blocked":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        self._opened, self._ended = loop.create_future(), loop.create_future()
        self._rest, self._is_told, self._close = b"", False, (1006, "")
        async with asyncio.timeout(OPENED_WITHIN_S):
            await loop.sock_connect(sock, (host, port))
            transport, _ = await loop.create_connection(lambda: self, sock=sock)
            transport.write(head(f"{path}?id={self.id}&rooms={','.join(self.plan['rooms'])}"))
            await self._opened

    async def leave(self) -> tuple[int, str]:
        """Close in order: all that the server has sent until it knew comes. Gives how it ended."""
        self.is_open = False
        self._is_told = True
        assert self.transport is not None
        assert self._ended is not None
        self.transport.resume_reading()
        self.transport.write(wire(8, (1000).to_bytes(2)))
        try:
            async with asyncio.timeout(30):
                await asyncio.shield(self._ended)
        except TimeoutError:
            self.heard.tell("the server has not closed the socket 30 s after the close frame")
            self.transport.abort()
        return self._close

    def say(self, what: str, *more: Any) -> None:
        self.transport.write(self.frame(what, *more))  # type: ignore[union-attr]

    def frame(self, what: str, *more: Any) -> bytes:
        """The next numbered frame, which is to be sent whole before another is made."""
        if what == "relay":
            self.relayed += 1
        elif what == "busy":
            self.relayed += 5
        elif what == "visit":
            self.visits += 1
        elif what == "flood":
            self.flooded += more[0]
        number = self.sent
        self.sent += 1
        return wire(1, json.dumps({"event": "do", "payload": [number, what, *more]}).encode())

    def complete(self) -> None:
        """A frame that was sent in pieces is whole, or the socket is open: what had to wait for that follows."""
        self.is_halfway = False
        owed, self._owed = self._owed, []
        for data in owed:
            self._reply(data)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.heard_at = monotonic()

    def connection_lost(self, error: Exception | None) -> None:
        assert self._opened is not None
        assert self._ended is not None
        self.is_open = False
        if not self._opened.done():
            self._opened.set_exception(CutOffError(f"no 101: {error}"))
        elif not self._is_told and self.end is None:
            self.end = self._close
        if not self._ended.done():
            self._ended.set_result(None)

    def eof_received(self) -> None:
        """It closes then."""

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        if self.plan["listens"]:
            self._silence.heard(now - self.heard_at)
        self.heard_at = now
        data = self._rest + data if self._rest else data
        if not self.is_open and self._opened is not None and not self._opened.done():
            answer, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = answer
                return
            if not answer.startswith(b"HTTP/1.1 101 "):
                self._opened.set_exception(ConnectionError(answer.decode("latin-1")))
                return
            self.is_open = True
            self._opened.set_result(None)
            self.complete()
        self._rest = self._cut(data, now)

    def _cut(self, data: bytes, now: float) -> bytes:
        """Take all whole frames, and give what is left."""
        position, end = 0, len(data)
        while end - position >= 2:
            size, start = data[position + 1], position + 2
            if size == 126:
                start = position + 4
                size = int.from_bytes(data[position + 2 : start])
            elif size == 127:
                start = position + 10
                size = int.from_bytes(data[position + 2 : start])
            stop = start + size
            if stop > end or start > end:
                break
            if data[position] == 0x81:
                self._take(data[start:stop], now)
            elif not self._obey(data[position], data[start:stop]):
                break
            position = stop
        return data[position:]

    def _obey(self, first: int, payload: bytes) -> bool:
        assert self.transport is not None
        if first == 0x89:
            if not self.is_open:
                return True
            self._reply(wire(10, payload))
        elif first == 0x88:
            self._close = (int.from_bytes(payload[:2]), payload[2:].decode())
            if self.is_open:
                self.transport.write(wire(8, payload[:2]))
            self.is_open = False
        else:
            self.heard.tell(f"the byte stream is broken: {first:#x}, {payload[:20]!r}")
            self.heard.lost += 1
            self.transport.abort()
            return False
        return True

    def _take(self, data: bytes, now: float) -> None:
        try:
            frame = _decode(data)
        except msgspec.DecodeError as error:
            self.heard.tell(f"{error}: {data[:60]!r}")
            self.heard.lost += 1
            return
        event, payload = frame.event, frame.payload
        if event == "question":
            self._reply(wire(1, json.dumps({"event": event, "id": frame.id, "payload": payload}).encode()))
            return
        self.heard.take(event, payload[0], payload[1])
        if event == "room":
            if self._is_plain:
                self._silence.late(now - payload[2])
        elif event == "big" and payload[2].strip("é"):
            self.heard.tell(f"big {payload[1]} is not what was sent")
            self.heard.lost += 1
        elif event == "answer" and payload[2] is not None:
            self.answered(payload[1], payload[2])

    def _reply(self, data: bytes) -> None:
        if self.is_halfway or not self.is_open:
            # While it is away too: who asked waits until it is back.
            self._owed.append(data)
        elif self.transport is not None:
            self.transport.write(data)

    def answered(self, number: int, answer: Any) -> None:
        """Of a frame that the server gives more than its number back for."""
