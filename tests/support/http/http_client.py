"""An HTTP client on a bare keep-alive connection: it counts bytes instead of keeping them, and can be told to wait."""

from __future__ import annotations

import asyncio
import json
from typing import Any

__all__ = ["CHUNK", "Answer", "HttpClient"]

DEADLINE_S = 60.0

CHUNK = b"x" * 65536
"""Of the bodies that tests send and get."""


class Answer:
    """One response. `body` is kept up to 64 KiB; `size` counts all of it."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if len(self.body) < 65536:
            self.body += data

    def json(self) -> Any:
        return json.loads(self.body)


class HttpClient:
    """One connection, on which requests follow each other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, port: int) -> HttpClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1024 * 1024))

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    async def get(self, target: str) -> Answer:
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return await self.answer()

    async def post(self, target: str, *, chunk: bytes = b"", count: int = 0, chunked: bool = False) -> Answer:
        """Send `chunk` so many times, as fast as the server reads."""
        size = len(chunk) * count
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        self.writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
        piece = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" if chunked else chunk
        for _ in range(count):
            self.writer.write(piece)
            await self.writer.drain()
        if chunked:
            self.writer.write(b"0\r\n\r\n")
        return await self.answer()

    async def answer(self) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
            answer = Answer(int(line.split(" ")[1]), headers)
            if headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    await self._take(answer, size)
                    await self.reader.readexactly(2)
                await self.reader.readexactly(2)
            else:
                await self._take(answer, int(headers.get("content-length", "0")))
            return answer

    async def _take(self, answer: Answer, size: int) -> None:
        while size:
            data = await self.reader.read(min(size, 65536))
            if not data:
                raise ConnectionError("the connection ended inside an answer")
            answer.add(data)
            size -= len(data)
