"""HTTP load: keep-alive connections with one request under way on each, for a while. One JSON line at the end.

python -m bench.support.http_load PORT SECONDS CONNECTIONS [PATH]
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter
from typing import cast

import uvloop

__all__ = ["main"]


class _Client(asyncio.Protocol):
    """Asks again when an answer is complete. The answers are alike: the first says how long each is."""

    requests = 0

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._answer = b""
        self._size = 0
        self._missing = 0
        self._transport: asyncio.Transport
        self.stopped = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._size:
            self._answer += data
            head, end, _ = self._answer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"refused: {head!r}")
            body = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            self._size = len(head) + 4 + body
            self._missing = self._size - len(self._answer)
        else:
            self._missing -= len(data)
        if self._missing == 0 and not self.stopped:
            _Client.requests += 1
            self._missing = self._size
            self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)
        if not self.stopped:
            raise SystemExit("the server ended a connection")

    def stop(self) -> None:
        self.stopped = True
        self._transport.abort()


async def _run(port: int, seconds: float, connections: int, path: str) -> None:
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n".encode()
    clients = [
        (await loop.create_connection(lambda: _Client(request), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    await asyncio.sleep(0.3)
    before, begin = _Client.requests, perf_counter()
    await asyncio.sleep(seconds)
    requests, took = _Client.requests - before, perf_counter() - begin
    for client in clients:
        client.stop()
    await asyncio.gather(*(client.lost for client in clients))
    print(json.dumps({"requests": requests, "per_second": requests / took}))


def main() -> None:
    port, seconds, connections, *path = sys.argv[1:]
    uvloop.run(_run(int(port), float(seconds), int(connections), path[0] if path else "/"))


if __name__ == "__main__":
    main()
