"""`RemoteConnection`: a connection whose session lives on another shard.

Made by `server.get_connections`. It addresses exactly the session that it was made for, by its birth key, wherever that has gone
meanwhile; never a later one of the same id.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import MappingProxyType
from typing import Any, Protocol, cast

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.message import (
    CallConnection,
    CloseConnection,
    ConnectionRecord,
    JoinRoom,
    LeaveRoom,
    Message,
    SendFrame,
    WatchClosed,
)
from wspulse.actors.sessions.asking.answer import asking_frame, checked_timeout, no_answer, replied
from wspulse.actors.sessions.connections.connection import Connection, Resumption
from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.codec import Codec
from wspulse.actors.values.errors import (
    BadRequestError,
    ConnectionClosedError,
    ConnectionNotFoundError,
    ShardUnavailableError,
)
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.ids import checked_room_id

__all__ = ["OtherShards", "RemoteConnection"]


class OtherShards(Protocol):
    """The way to the shards of other processes."""

    encode: Callable[[Frame], bytes]
    """A frame in wire form. Raises what the codec raises."""
    codec: Codec

    def decode(self, opcode: int, payload: bytes) -> Frame:
        """The frame in a message. Raises what the codec raises."""

    async def ask_owner(self, connection_id: str, message: Message, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Ask whoever owns an id. Raises ShardUnavailableError and what the owner raises."""

    def tell_owner(self, connection_id: str, message: Message) -> None:
        """Have the owner do something, in order with what it is asked; what becomes of it nobody hears."""


class RemoteConnection(Connection):
    """A connection whose session lives on another shard, as a snapshot with a way back to it."""

    __slots__ = ("_closed", "_record", "_shards")

    def __init__(self, shards: OtherShards, record: ConnectionRecord) -> None:
        self._shards = shards
        self._record = record
        self._closed = False

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def room_id(self) -> str:
        return self._record.room_id

    @property
    def rooms(self) -> tuple[str, ...]:
        return (self._record.room_id, *self._record.further_rooms)

    @property
    def request(self) -> Request:
        raise self._local_only("request")

    @property
    def state(self) -> dict[str, Any]:
        # A dict for type checkers, that nobody can change for nothing.
        return cast("dict[str, Any]", MappingProxyType(self._record.application_state or {}))

    @property
    def resumed_with(self) -> Resumption | None:
        raise self._local_only("resumed_with")

    @property
    def subprotocol(self) -> str | None:
        return self._record.subprotocol

    @property
    def suspended(self) -> bool:
        return self._record.state == "suspended"

    @property
    def queued(self) -> int:
        return self._record.queued_frames

    @property
    def latency_s(self) -> float | None:
        return self._record.latency_s

    @property
    def closed(self) -> bool:
        return self._closed

    async def send(self, frame: Frame) -> None:
        wire = self._shards.encode(frame)
        if self._closed:
            raise ConnectionClosedError(self.id)
        record = self._record
        try:
            await self._shards.ask_owner(record.id, SendFrame(record.id, wire, self._key()))
        except ConnectionNotFoundError:
            self._closed = True
            raise ConnectionClosedError(self.id) from None

    def send_nowait(self, frame: Frame) -> None:
        raise self._local_only("send_nowait")

    def send_soon(self, frame: Frame) -> None:
        """`send` of which nobody hears whether it could be: for sync code whose connection was of this shard."""
        record = self._record
        self._shards.tell_owner(record.id, SendFrame(record.id, self._shards.encode(frame), self._key()))

    async def call(self, frame: Frame, timeout_s: float = 5.0) -> Frame:
        checked_timeout(timeout_s)
        shards, record = self._shards, self._record
        asking = asking_frame(frame, shards.codec)
        wire = shards.encode(asking)
        if self._closed:
            raise ConnectionClosedError(self.id)
        due = monotonic() + timeout_s
        try:
            answer = await shards.ask_owner(
                record.id, CallConnection(record.id, self._key(), asking.id, wire, timeout_s), timeout_s
            )
        except (ConnectionNotFoundError, ConnectionClosedError):
            self._closed = True
            raise ConnectionClosedError(self.id) from None
        except ShardUnavailableError:
            if monotonic() < due:
                raise
            answer = None
        if answer is None:
            raise no_answer(self.id, timeout_s)
        opcode, payload = answer
        return replied(frame, shards.decode(opcode, payload))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        check_close(code, reason)
        if self._closed:
            return
        record = self._record
        try:
            await self._shards.ask_owner(record.id, CloseConnection(record.id, self._key(), code, reason))
        except ConnectionNotFoundError:
            pass
        self._closed = True

    async def join(self, room_id: str) -> None:
        message = JoinRoom(self.id, checked_room_id(room_id), monotonic() + ASK_TIMEOUT_S, self._key())
        if self._closed:
            raise ConnectionClosedError(self.id)
        if not await self._change(message):
            raise ConnectionClosedError(self.id)

    async def leave(self, room_id: str) -> None:
        await self._change(LeaveRoom(self.id, checked_room_id(room_id), self._key()))

    async def _change(self, message: JoinRoom | LeaveRoom) -> bool:
        """Whether there was a session. Raises ValueError for what it refuses."""
        try:
            await self._shards.ask_owner(self._record.id, message)
        except (ConnectionNotFoundError, ConnectionClosedError):
            self._closed = True
            return False
        except BadRequestError as error:
            raise ValueError(f"wspulse: {error.problem}") from None
        return True

    async def wait_closed(self) -> None:
        if self._closed:
            return
        record = self._record
        try:
            await self._shards.ask_owner(record.id, WatchClosed(record.id, self._key()), timeout_s=None)
        except (ConnectionNotFoundError, ShardUnavailableError):
            pass
        self._closed = True

    def _key(self) -> tuple[int, int]:
        return self._record.incarnation, self._record.serial

    def _local_only(self, member: str) -> RuntimeError:
        return RuntimeError(
            f"wspulse: connection {self.id} lives on shard {self._record.shard}; `{member}` works only there. "
            "`await connection.send(frame)` works from every shard."
        )
