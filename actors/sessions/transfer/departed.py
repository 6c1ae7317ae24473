"""What a session and its connection are in the process that the session has left.

The application may have kept the connection: it is one of another shard from here on, and all that it can do is done there.
"""

from __future__ import annotations

from typing import Any, NoReturn, cast

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.values.errors import ConnectionClosedError, ConnectionNotFoundError, SessionMovedError, WspulseError
from wspulse.actors.values.frame import Frame

__all__ = ["ELSEWHERE", "DepartedConnection", "depart"]

ELSEWHERE = 1 << 32
"""No seat: the session is another host's, and the directory knows which."""


def _where(session: Session) -> WspulseError:
    seat = -1 - session.epoch
    return ConnectionNotFoundError(session.id) if seat == ELSEWHERE else SessionMovedError(seat)


def _is_elsewhere(session: Session, _wire: bytes) -> NoReturn:
    # What it was for is over.
    raise _where(session)


def _nothing_waits(_session: Session) -> None:
    """What was sent in its last turn here has gone with it."""


class _DepartedSession(Session):
    __slots__ = ()

    def send(self, wire: bytes) -> None:
        _is_elsewhere(self, wire)

    flush = _nothing_waits


class _DepartedExactSession(ExactSession):
    __slots__ = ()

    def send(self, wire: bytes) -> None:
        _is_elsewhere(self, wire)

    flush = _nothing_waits


class DepartedConnection(LocalConnection):
    """A connection that was of this shard, and whose session has gone to another."""

    has_left = True

    __slots__ = ()

    @property
    def _remote(self) -> RemoteConnection:
        return cast("RemoteConnection", self._session)

    @property
    def id(self) -> str:
        return self._remote.id

    @property
    def room_id(self) -> str:
        return self._remote.room_id

    @property
    def rooms(self) -> tuple[str, ...]:
        return self._remote.rooms

    @property
    def suspended(self) -> bool:
        return self._remote.suspended

    @property
    def queued(self) -> int:
        return self._remote.queued

    @property
    def latency_s(self) -> float | None:
        return self._remote.latency_s

    @property
    def closed(self) -> bool:
        return self._remote.closed

    async def send(self, frame: Frame) -> None:
        await self._remote.send(frame)

    def send_nowait(self, frame: Frame) -> None:
        """Goes to the other process in the order of the calls, and is lost where the session has ended there."""
        if self._remote.closed:
            raise ConnectionClosedError(self.id)
        self._remote.send_soon(frame)

    async def send_wait(self, frame: Frame) -> None:
        await Connection.send_wait(self, frame)

    async def call(self, frame: Frame, timeout_s: float = 5.0) -> Frame:
        return await self._remote.call(frame, timeout_s)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._remote.close(code, reason)

    async def join(self, room_id: str) -> None:
        await self._remote.join(room_id)

    async def leave(self, room_id: str) -> None:
        await self._remote.leave(room_id)

    async def wait_closed(self) -> None:
        await self._remote.wait_closed()


def depart(session: Session, remote: RemoteConnection, seat: int) -> None:
    """The session is another process's, at that seat, or ELSEWHERE. Whoever waits for something of it asks there."""
    connection = session.connection
    session.state = SessionState.CLOSED
    # A deadline that is stale may hold it for as long as a resume window.
    session._buffer = None
    if isinstance(session, ExactSession):
        session.log.clear()
    session.__class__ = cast(
        "type[Any]", _DepartedExactSession if isinstance(session, ExactSession) else _DepartedSession
    )
    # No deadline of an earlier time has seen a negative one.
    session.epoch = -1 - seat
    connection.__class__ = DepartedConnection
    cast("Any", connection)._session = remote
    for watcher in session.watchers or ():
        if not watcher.done():
            watcher.set_exception(_where(session))
    session.watchers = None
    session._wake_senders()
    session.finished()
