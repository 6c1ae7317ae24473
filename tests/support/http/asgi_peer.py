"""An ASGI server for one WebSocket, as a test needs it: what was sent is kept, and a send can be made to hang."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from tests.support.eventually import eventually
from wspulse.actors.values.asgi import AsgiCallable

__all__ = ["AsgiPeer"]


class AsgiPeer:
    """Runs the application in a task while the block lasts; on the way out the peer is gone and the task has ended."""

    def __init__(self, application: AsgiCallable, query: str = "", *, extensions: bool = True) -> None:
        self.sent: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        """Clear it, and the server's sends hang."""
        self.reads.set()
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/ws/ä",
            "raw_path": b"/ws/%C3%A4",
            "query_string": query.encode(),
            "headers": [(b"host", b"x"), (b"cookie", b"session=abc")],
            "client": ("10.0.0.1", 1234),
            "subprotocols": ["chat.v1"],
            "session": {"user": "ann"},
            "extensions": {"websocket.http.response": {}} if extensions else {},
        }
        self._application = application
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})

    async def __aenter__(self) -> AsgiPeer:
        self.task: asyncio.Future[None] = asyncio.ensure_future(
            self._application(self.scope, self._incoming.get, self._send)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(1006)
        async with asyncio.timeout(5):
            await asyncio.wait([self.task])

    @property
    def unread(self) -> int:
        """How many events the application has not received."""
        return self._incoming.qsize()

    def say(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        self._incoming.put_nowait({"type": "websocket.receive", kind: data})

    def leave(self, code: int, reason: str | None = "") -> None:
        event: dict[str, Any] = {"type": "websocket.disconnect", "code": code}
        self._incoming.put_nowait(event if reason is None else event | {"reason": reason})

    async def gets(self, count: int) -> list[dict[str, Any]]:
        """Wait until the application has sent so many events."""
        await eventually(lambda: len(self.sent) >= count, f"{count} events were sent, not only {self.sent}", 5)
        return self.sent

    async def _send(self, event: Any) -> None:
        await self.reads.wait()
        self.sent.append(event)
