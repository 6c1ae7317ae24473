"""`Address`: where and how a test's client connects, and reconnects; and the error that it gets if it is refused.

Made by a running server's `connect` for its clients. It keeps nothing of a connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from wspulse.actors.values.errors import WspulseError

__all__ = ["Address", "UpgradeRefusedError"]


class UpgradeRefusedError(WspulseError):
    """The server answered an upgrade with a status other than 101. `text` is the answer's body."""

    code = "upgrade_refused"

    def __init__(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = headers

    def __str__(self) -> str:
        return f"wspulse: the upgrade was refused: {self.status} {self.text}"


class Address(NamedTuple):
    """Where and how a client connects, and connects again."""

    url: str
    headers: Sequence[tuple[str, str]]
    subprotocols: Sequence[str]
    compression: str | None = None

    @classmethod
    def make(
        cls,
        url: str,
        connection_id: str | None,
        room_id: str | None,
        query: Mapping[str, str] | Iterable[tuple[str, str]] | None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None,
        subprotocols: Sequence[str],
        compression: str | None = None,
    ) -> Address:
        """`url` with a query of `id`, `room` and the rest."""
        pairs = [(name, value) for name, value in (("id", connection_id), ("room", room_id)) if value is not None]
        pairs += _pairs(query)
        return cls(f"{url}?{urlencode(pairs)}" if pairs else url, _pairs(headers), subprotocols, compression)

    async def dial(self) -> ClientConnection:
        """A new connection. Raises UpgradeRefusedError and OSError."""
        parts = urlsplit(self.url)
        # A socket of our own: no proxy that the environment names is asked.
        sock = await _connected_socket(parts.hostname or "", parts.port or 80)
        websocket = None
        try:
            websocket = await open_websocket(
                self.url,
                sock=sock,
                additional_headers=self.headers,
                subprotocols=[Subprotocol(name) for name in self.subprotocols] or None,
                compression=self.compression,
                open_timeout=None,
                ping_interval=None,
                max_size=None,
                max_queue=None,
            )
        except InvalidStatus as error:
            response = error.response
            text = (response.body or b"").decode("utf-8", "replace")
            raise UpgradeRefusedError(response.status_code, text, dict(response.headers.raw_items())) from None
        finally:
            if websocket is None:
                sock.close()
        return websocket


async def _connected_socket(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _pairs(fields: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> list[tuple[str, str]]:
    if fields is None:
        return []
    return list(fields.items() if isinstance(fields, Mapping) else fields)
