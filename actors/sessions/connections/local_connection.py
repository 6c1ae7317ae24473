"""`LocalConnection`: a connection whose session lives on this shard.

Made by the shard with the session; it lives as long as that does, through every resume. When the session moves to another process
it becomes something else (`transfer.frozen`, `transfer.departed`): a call of it that was made before and begins afterwards, as in
a task of its own, is made anew.
"""

from __future__ import annotations

from _thread import get_ident
from typing import Any, ClassVar

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.sessions.asking.answer import asking_frame, checked_timeout, no_answer, replied
from wspulse.actors.sessions.asking.call import begin_call
from wspulse.actors.sessions.connections.connection import Connection, Resumption
from wspulse.actors.sessions.rooms.membership import join_room, leave_room, rooms_of
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.errors import ConnectionNotFoundError, SendBufferFullError, SessionMovedError, wrong_thread
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.ids import checked_room_id

__all__ = ["LocalConnection"]

_SEND = "`server.from_thread.send(connection.id, frame)`"


class LocalConnection(Connection):
    """A connection whose session lives on this shard."""

    has_left: ClassVar[bool] = False
    """Whether its session is another process's."""

    __slots__ = ("_request", "_resumed_with", "_session", "_state", "_subprotocol")

    def __init__(self, session: Session, upgrade: Upgrade) -> None:
        self._session = session
        self._request = upgrade.request
        self._state = upgrade.state
        self._subprotocol = upgrade.subprotocol
        self._resumed_with: Resumption | None = None

    def resumed(self, upgrade: Upgrade) -> None:
        """The client has come back with this."""
        self._resumed_with = Resumption(upgrade.request, upgrade.state)
        self._subprotocol = upgrade.subprotocol

    @property
    def id(self) -> str:
        return self._session.id

    @property
    def room_id(self) -> str:
        return self._session.room.id

    @property
    def rooms(self) -> tuple[str, ...]:
        return rooms_of(self._session)

    @property
    def request(self) -> Request:
        return self._request

    @property
    def state(self) -> dict[str, Any]:
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def resumed_with(self) -> Resumption | None:
        return self._resumed_with

    @property
    def subprotocol(self) -> str | None:
        return self._subprotocol

    @property
    def suspended(self) -> bool:
        return self._session.state is SessionState.SUSPENDED

    @property
    def queued(self) -> int:
        return self._session.queued_frames

    @property
    def latency_s(self) -> float | None:
        transport = self._session.transport
        return None if transport is None else transport.latency_s

    @property
    def closed(self) -> bool:
        return self._session.state is SessionState.CLOSED

    async def send(self, frame: Frame) -> None:
        if self.has_left:
            await self.send(frame)
            return
        session = self._session
        shard = session.shard
        if get_ident() != shard.thread:
            raise wrong_thread(_SEND)
        session.send(shard.encode(frame))

    def send_nowait(self, frame: Frame) -> None:
        if self.has_left:
            self.send_nowait(frame)
            return
        session = self._session
        shard = session.shard
        if get_ident() != shard.thread:
            raise wrong_thread(_SEND)
        session.send(shard.encode(frame))

    async def send_wait(self, frame: Frame) -> None:
        if self.has_left:
            await self.send_wait(frame)
            return
        session = self._session
        shard = session.shard
        if get_ident() != shard.thread:
            raise wrong_thread(_SEND)
        wire = shard.encode(frame)
        while True:
            try:
                session.send(wire)
                return
            except SendBufferFullError:
                await session.room_in_buffer()
            except (SessionMovedError, ConnectionNotFoundError):
                # It has left meanwhile, and this is a connection of another shard.
                await self.send_wait(frame)
                return

    async def call(self, frame: Frame, timeout_s: float = 5.0) -> Frame:
        if self.__class__ is not LocalConnection:
            return await self.call(frame, timeout_s)
        session = self._session
        shard = session.shard
        if get_ident() != shard.thread:
            raise wrong_thread("`asyncio.run_coroutine_threadsafe(connection.call(frame), loop)`")
        checked_timeout(timeout_s)
        asking = asking_frame(frame, shard.options.codec)
        answer = await begin_call(session, asking.id, shard.encode(asking), timeout_s)
        if answer is None:
            raise no_answer(self.id, timeout_s)
        return replied(frame, answer.frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.__class__ is not LocalConnection:
            await self.close(code, reason)
            return
        check_close(code, reason)
        shard = self._session.shard
        if get_ident() != shard.thread:
            raise wrong_thread("`server.from_thread.kick(connection.id)`")
        shard.close_session(self._session, code, reason)

    async def join(self, room_id: str) -> None:
        if self.__class__ is not LocalConnection:
            await self.join(room_id)
            return
        self._check_thread("join")
        joined = join_room(self._session, checked_room_id(room_id), ASK_TIMEOUT_S)
        if joined is not None:
            await joined

    async def leave(self, room_id: str) -> None:
        if self.__class__ is not LocalConnection:
            await self.leave(room_id)
            return
        self._check_thread("leave")
        leave_room(self._session, checked_room_id(room_id))

    def _check_thread(self, call: str) -> None:
        if get_ident() != self._session.shard.thread:
            raise wrong_thread(f"`asyncio.run_coroutine_threadsafe(connection.{call}(room_id), loop)`")

    async def wait_closed(self) -> None:
        if self.has_left:
            await self.wait_closed()
            return
        try:
            await self._session.watch()
        except (SessionMovedError, ConnectionNotFoundError):
            await self.wait_closed()
