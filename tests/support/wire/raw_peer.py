"""A peer on a bare socket: it does what no client library would."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from base64 import b64encode
from typing import Any

from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

__all__ = ["RawPeer", "masked"]

DEADLINE_S = 10.0


def masked(opcode: int, payload: bytes) -> bytes:
    """A whole client frame."""
    return WireFrame(Opcode(opcode), payload).serialize(mask=True)


class RawPeer:
    """An upgraded connection whose bytes the test reads and writes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __aenter__(self) -> RawPeer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @classmethod
    async def dial(cls, port: int, receive_buffer_bytes: int | None = None) -> RawPeer:
        """A connected socket; a small receive buffer makes the kernel push back early."""
        sock = socket.socket()
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        # A small limit: what the test does not read stays in the kernel.
        return cls(*await asyncio.open_connection(sock=sock, limit=1024))

    @classmethod
    async def upgraded(
        cls,
        port: int,
        target: str,
        receive_buffer_bytes: int | None = None,
        glued: bytes = b"",
        lines: tuple[str, ...] = (),
    ) -> RawPeer:
        peer = await cls.dial(port, receive_buffer_bytes)
        peer.writer.write(head(target, *lines) + glued)
        answer = await peer.head()
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return peer

    async def head(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> tuple[int, bytes]:
        """The server's next frame: opcode and payload."""
        async with asyncio.timeout(DEADLINE_S):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2))
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def expect(self, event: str) -> Any:
        """The payload of the next JSON frame, pings passed over."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 9:
                continue
            assert opcode == 1, (opcode, payload[:100])
            frame = json.loads(payload)
            assert frame["event"] == event, frame
            return frame.get("payload")

    async def close_code(self) -> tuple[int, str]:
        """Read to the close frame. (1006, "") where the socket ends without one."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2]), payload[2:].decode()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return 1006, ""

    async def rest(self) -> bytes:
        """Everything to the end of the socket."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    def reset(self) -> None:
        """Be gone, as a program that was killed in the middle of something; a stream that only ends may still be read."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


def head(target: str, *lines: str, key: str | None = None, version: str = "HTTP/1.1", method: str = "GET") -> bytes:
    """A request for an upgrade, with more header lines if wanted."""
    key = key if key is not None else b64encode(os.urandom(16)).decode()
    fields = [
        f"{method} {target} {version}",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *lines,
    ]
    return "\r\n".join(fields).encode() + b"\r\n\r\n"
