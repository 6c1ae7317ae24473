"""`Connection`: what the application sees of a session, on this shard or on another.

Local ones are made by the shard with the session and live as long as it does, through every resume. Remote ones are made
by `server.get_connections` and address exactly the session that they were made for, never a later one of the same id.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from wspulse.actors.mesh.message import CloseConnection, ConnectionRecord, SendFrame, WatchClosed
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.values.errors import ConnectionClosedError, ConnectionNotFoundError, ShardUnavailableError
from wspulse.actors.values.frame import Frame

if TYPE_CHECKING:
    from wspulse.actors.runtime.runtime import ShardRuntime
    from wspulse.actors.sessions.session import Session
    from wspulse.actors.values.request import Request

__all__ = ["Connection", "LocalConnection", "RemoteConnection"]


class Connection(ABC):
    """A logical WebSocket connection; with a resume window it outlives the socket that carries it. (contract.md §3, §4)"""

    __slots__ = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """The connection id that `connect` returned, or the UUID that was made up."""

    @property
    @abstractmethod
    def room_id(self) -> str:
        """The room that the first `connect` returned; a resume never changes it."""

    @property
    @abstractmethod
    def request(self) -> Request:
        """The upgrade request that created the session. Raises RuntimeError on a connection of another shard."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """A dict for the application. Raises RuntimeError on a connection of another shard."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the session has ended; for a connection of another shard, as far as this object knows."""

    @abstractmethod
    async def send(self, frame: Frame) -> None:
        """Queue a frame for the peer, in the order of the calls.

        It returns when the frame is queued, not when it has arrived. While the session is suspended the frame waits, and
        the oldest one is dropped when the buffer is full. Raises ConnectionClosedError, SendBufferFullError (connected,
        and the peer does not read), what the codec raises, and ShardUnavailableError for another shard that does not
        answer within 5 s.
        """

    @abstractmethod
    def send_nowait(self, frame: Frame) -> None:
        """`send` for sync code. Raises RuntimeError on a connection of another shard."""

    @abstractmethod
    async def close(self) -> None:
        """End the session: what is queued is sent, then close 1000. Bypasses the resume window; idempotent.

        Returns when the session is out of the table; its on_disconnect (with None) may still be running.
        """

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait, without a deadline, until the session has ended, or the shard that held it."""

    def __repr__(self) -> str:
        return f"<Connection {self.id!r} in {self.room_id!r}{', closed' if self.closed else ''}>"


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
        session.send(session.shard.encode(frame))

    def send_nowait(self, frame: Frame) -> None:
        session = self._session
        session.send(session.shard.encode(frame))

    async def close(self) -> None:
        self._session.shard.close_session(self._session)

    async def wait_closed(self) -> None:
        await self._session.watch()


class RemoteConnection(Connection):
    """A connection whose session lives on another shard, as a snapshot with a way back to it."""

    __slots__ = ("_closed", "_record", "_runtime")

    def __init__(self, runtime: ShardRuntime, record: ConnectionRecord) -> None:
        self._runtime = runtime
        self._record = record
        self._closed = False

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def room_id(self) -> str:
        return self._record.room_id

    @property
    def request(self) -> Request:
        raise self._local_only("request")

    @property
    def state(self) -> dict[str, Any]:
        raise self._local_only("state")

    @property
    def closed(self) -> bool:
        return self._closed

    async def send(self, frame: Frame) -> None:
        wire = self._runtime.shard.encode(frame)
        if self._closed:
            raise ConnectionClosedError(self.id)
        record = self._record
        try:
            await self._runtime.ask(record.shard, SendFrame(record.id, wire, self._key()))
        except ConnectionNotFoundError:
            self._closed = True
            raise ConnectionClosedError(self.id) from None

    def send_nowait(self, frame: Frame) -> None:
        raise self._local_only("send_nowait")

    async def close(self) -> None:
        if self._closed:
            return
        record = self._record
        try:
            await self._runtime.ask(record.shard, CloseConnection(record.id, self._key()))
        except ConnectionNotFoundError:
            pass
        self._closed = True

    async def wait_closed(self) -> None:
        if self._closed:
            return
        record = self._record
        try:
            await self._runtime.ask(record.shard, WatchClosed(record.id, self._key()), timeout_s=None)
        except (ConnectionNotFoundError, ShardUnavailableError):
            pass
        self._closed = True

    def _key(self) -> tuple[int, int]:
        return self._record.incarnation, self._record.serial

    def _local_only(self, member: str) -> RuntimeError:
        return RuntimeError(
            f"wspulse: connection {self.id} lives on shard {self._record.shard}; `{member}` needs it to be on this one. "
            "`await connection.send(frame)` works for both."
        )
