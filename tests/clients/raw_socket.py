"""`RawSocket`: the server's end of one WebSocket, with nothing done by itself but pongs, so that a script can do all else.

Made by `scripted_server` for each connection. The bytes are written here by hand: a library would close, wait and complain as
it thinks right, and a script is there for what no library does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from base64 import b64encode
from hashlib import sha1

__all__ = ["Closed", "RawSocket"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


class Closed(Exception):
    """The client's close frame, or the end of its bytes (code 1006)."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class RawSocket:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.path = ""
        self.fields: dict[str, str] = {}

    async def read_head(self) -> None:
        """Read the request; ConnectionError or IncompleteReadError where none comes."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.path = head[0].split(" ")[1]
        self.fields = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
        }

    @property
    def offers(self) -> list[str]:
        """The subprotocols that the client offers, in its order."""
        return [name.strip() for name in self.fields.get("sec-websocket-protocol", "").split(",") if name.strip()]

    def answer(self, status: int, body: bytes = b"") -> None:
        """Answer with something else than 101, and close."""
        head = (
            f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        self._writer.close()

    def upgrade(self, subprotocol: str | None) -> None:
        key = self.fields["sec-websocket-key"].encode()
        accept = b64encode(sha1(key + _GUID).digest()).decode()
        chosen = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol is not None else ""
        self._writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"{chosen}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )

    def send_text(self, text: str) -> None:
        self._send(_TEXT, text.encode())

    def send_binary(self, data: bytes) -> None:
        self._send(_BINARY, data)

    def send_close(self, code: int, reason: str) -> None:
        self._send(_CLOSE, struct.pack("!H", code) + reason.encode())

    async def receive(self) -> str | bytes:
        """The next message; `Closed` where the client ends."""
        message, text = b"", True
        while True:
            try:
                is_last, opcode, data = await self._frame()
            except (asyncio.IncompleteReadError, OSError):
                raise Closed(1006) from None
            if opcode == _CLOSE:
                code = struct.unpack("!H", data[:2])[0] if data else 1005
                raise Closed(code, data[2:].decode())
            if opcode == _PING:
                self._send(_PONG, data)
            elif opcode in (_TEXT, _BINARY, 0):
                text = opcode == _TEXT if opcode else text
                message += data
                if is_last:
                    return message.decode() if text else message

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """End it as a dying network does, without a word."""
        end: socket.socket | None = self._writer.get_extra_info("socket")
        if end is not None and not self._writer.is_closing():
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 127
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        mask = await self._reader.readexactly(4) if second & 128 else bytes(4)
        data = await self._reader.readexactly(size)
        return bool(first & 128), first & 15, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))

    def _send(self, opcode: int, data: bytes) -> None:
        size = len(data)
        head = struct.pack("!BB", 128 | opcode, size) if size < 126 else struct.pack("!BBH", 128 | opcode, 126, size)
        if size >= 1 << 16:
            head = struct.pack("!BBQ", 128 | opcode, 127, size)
        self._writer.write(head + data)
