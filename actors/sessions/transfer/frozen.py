"""What a session and its connection are between two processes: for a few milliseconds, in the source.

Whoever moves a session has it and its connection become these, which costs nobody else a look. What is sent to it meanwhile
waits; what has an effect on it waits until it is known where it is, and is then done there.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.sessions.transfer.transit import Transit
from wspulse.actors.values.errors import InTransitError, SendBufferFullError
from wspulse.actors.values.frame import Frame

__all__ = [
    "FrozenConnection",
    "FrozenExactSession",
    "FrozenSession",
    "freeze",
    "is_frozen",
    "receiver",
    "sent_meanwhile",
    "thaw",
]


class SendingShard(Protocol):
    @property
    def transit(self) -> Transit | None: ...

    def find(self, connection_id: str, key: tuple[int, int] | None = None) -> Session:
        """Raises InTransitError."""


def _keep(session: Session, wire: bytes) -> None:
    """Keep what is sent to it, in order. Raises SendBufferFullError where its buffer would have no room for all of it: it may be
    blocked where it goes, and who sends is to wait as for one that is."""
    turn = session._turn
    if session.state is SessionState.CONNECTED and session.queued_frames:
        options = session.shard.options
        size = sum(map(len, turn or ())) + len(wire)
        held = session.log if isinstance(session, ExactSession) else session._buffer
        has_room = size <= options.send_buffer_bytes if held is None else held.has_room(size)
        if not has_room or session.queued_frames >= options.send_buffer_size:
            raise SendBufferFullError(session.id)
    if turn is None:
        session._turn = [wire]
    else:
        turn.append(wire)


def _write_nothing(_session: Session) -> None:
    """It has no transport, and what it keeps is not to be buffered."""


class FrozenSession(Session):
    __slots__ = ()

    send = _keep
    flush = _write_nothing


class FrozenExactSession(ExactSession):
    __slots__ = ()

    send = _keep
    flush = _write_nothing


class FrozenConnection(LocalConnection):
    """Waits with all that has an effect until its session is somewhere."""

    __slots__ = ()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._is_somewhere()
        await self.close(code, reason)

    async def join(self, room_id: str) -> None:
        await self._is_somewhere()
        await self.join(room_id)

    async def leave(self, room_id: str) -> None:
        await self._is_somewhere()
        await self.leave(room_id)

    async def call(self, frame: Frame, timeout_s: float = 5.0) -> Frame:
        await self._is_somewhere()
        return await self.call(frame, timeout_s)

    async def _is_somewhere(self) -> None:
        session = self._session
        future: asyncio.Future[None] = session.shard.loop.create_future()
        transit = session.shard.transit
        assert transit is not None
        transit.wait_for(session.id, lambda: None if future.done() else future.set_result(None))
        await future


_FROZEN: dict[type[Session], type[Any]] = {Session: FrozenSession, ExactSession: FrozenExactSession}
_THAWED = {frozen: thawed for thawed, frozen in _FROZEN.items()}


def freeze(session: Session) -> None:
    """From here on it is between two processes."""
    session.__class__ = _FROZEN[type(session)]
    session.connection.__class__ = FrozenConnection


def is_frozen(session: Session) -> bool:
    return type(session) in _THAWED


def thaw(session: Session) -> list[bytes]:
    """It is this process's again, or another's. Returns what was sent to it meanwhile."""
    session.__class__ = _THAWED[type(session)]
    session.connection.__class__ = LocalConnection
    return sent_meanwhile(session)


def receiver(shard: SendingShard, connection_id: str, key: tuple[int, int] | None = None) -> Session:
    """The session that takes what is sent to an id. One that is frozen does, so that whoever sends, all of it stays in the order
    of the calls. Raises as the shard's `find`."""
    try:
        return shard.find(connection_id, key)
    except InTransitError:
        transit = shard.transit
        session: Session | None = None if transit is None else transit.frozen(connection_id, key)
        if session is None:
            raise
        return session


def sent_meanwhile(session: Session) -> list[bytes]:
    """What was sent to one that is frozen. It is the caller's."""
    turn, session._turn = session._turn, None
    return turn or []
