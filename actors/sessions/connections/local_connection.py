"""`LocalConnection`: a connection whose session lives on this shard.

Made by the shard with the session; it lives as long as that does, through every resume.
"""

from __future__ import annotations

from _thread import get_ident
from typing import Any

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.errors import wrong_thread
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request

__all__ = ["LocalConnection"]

_SEND = "`server.from_thread.send(connection.id, frame)`"


class LocalConnection(Connection):
    """A connection whose session lives on this shard."""

    __slots__ = ("_request", "_session", "_state")

    def __init__(self, session: Session, request: Request, state: dict[str, Any] | None) -> None:
        self._session = session
        self._request = request
        self._state = state

    @property
    def id(self) -> str:
        return self._session.id

    @property
    def room_id(self) -> str:
        return self._session.room.id

    @property
    def request(self) -> Request:
        return self._request

    @property
    def state(self) -> dict[str, Any]:
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def closed(self) -> bool:
        return self._session.state is SessionState.CLOSED

    async def send(self, frame: Frame) -> None:
        session = self._session
        shard = session.shard
        if get_ident() != shard.thread:
            raise wrong_thread(_SEND)
        session.send(shard.encode(frame))

    def send_nowait(self, frame: Frame) -> None:
        session = self._session
        shard = session.shard
        if get_ident() != shard.thread:
            raise wrong_thread(_SEND)
        session.send(shard.encode(frame))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        check_close(code, reason)
        shard = self._session.shard
        if get_ident() != shard.thread:
            raise wrong_thread("`server.from_thread.kick(connection.id)`")
        shard.close_session(self._session, code, reason)

    async def wait_closed(self) -> None:
        await self._session.watch()
