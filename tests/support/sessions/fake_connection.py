"""A connection without a session: what is sent to it is kept. For tests of what calls handlers, not of sessions."""

from __future__ import annotations

from typing import Any

from wspulse import Connection, Frame, Request

__all__ = ["FakeConnection"]


class FakeConnection(Connection):
    def __init__(self, connection_id: str = "alice", room_id: str = "lobby", error: Exception | None = None) -> None:
        self._id = connection_id
        self._room_id = room_id
        self._state: dict[str, Any] = {}
        self._error = error
        self.sent: list[Frame] = []

    @property
    def id(self) -> str:
        return self._id

    @property
    def room_id(self) -> str:
        return self._room_id

    @property
    def request(self) -> Request:
        return Request(b"GET /ws HTTP/1.1", None)

    @property
    def state(self) -> dict[str, Any]:
        return self._state

    @property
    def closed(self) -> bool:
        return False

    async def send(self, frame: Frame) -> None:
        self.send_nowait(frame)

    def send_nowait(self, frame: Frame) -> None:
        if self._error is not None:
            raise self._error
        self.sent.append(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        raise NotImplementedError

    @property
    def rooms(self) -> tuple[str, ...]:
        return (self._room_id,)

    async def join(self, room_id: str) -> None:
        raise NotImplementedError

    async def leave(self, room_id: str) -> None:
        raise NotImplementedError

    async def wait_closed(self) -> None:
        raise NotImplementedError
