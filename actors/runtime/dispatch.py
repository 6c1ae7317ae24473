"""`Dispatch`: what each message to a shard's actor means.

One per runtime. The mailbox brings messages of other workers and of the supervisor, the supervisor's channel brings orders,
and a reference within this process comes here directly. A message is done within the call, or has a future as its result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from wspulse.actors.bus.waiting import publish_when_free
from wspulse.actors.cluster.cluster import Cluster
from wspulse.actors.mesh.lifecycle import (
    CloseStrays,
    KeepBus,
    MoveOut,
    SeatGone,
    SeatOpened,
    ShardDown,
    ShardSilence,
    ShardUp,
    ShareBus,
    SlotTable,
    TableAdopted,
)
from wspulse.actors.mesh.message import (
    BroadcastPayload,
    BusConsumed,
    BusRooms,
    BusRoomsWanted,
    CallConnection,
    CloseConnection,
    ConnectionList,
    GetMetrics,
    GetStats,
    JoinRoom,
    Kick,
    LeaveRoom,
    ListConnections,
    ListRooms,
    Message,
    PresenceReport,
    SendFrame,
    SendPayload,
    WatchClosed,
    WatchRoom,
)
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.mesh.placing.yields import YieldMessage
from wspulse.actors.runtime.extension import Extension
from wspulse.actors.runtime.siblings import Siblings
from wspulse.actors.runtime.statistics import Statistics
from wspulse.actors.runtime.task_set import TaskSet
from wspulse.actors.sessions.asking.asking_inbox import Waiting
from wspulse.actors.sessions.asking.call import begin_call
from wspulse.actors.sessions.rooms.membership import join_room, leave_room
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.frozen import receiver
from wspulse.actors.values.control_frame import encode_control_frame, read_control_frame
from wspulse.actors.values.errors import BadRequestError, ConnectionNotFoundError, ServerClosedError, SessionMovedError

__all__ = ["Dispatch"]


class Dispatch:
    """See the module. `is_server_closing` says whether broadcasts are over."""

    def __init__(
        self,
        shard: Shard,
        *,
        siblings: Siblings,
        statistics: Statistics,
        extensions: Extension,
        tasks: TaskSet,
        former: FormerSlots,
        adopt: Callable[[SlotTable], None],
        is_server_closing: Callable[[], bool],
    ) -> None:
        self._shard = shard
        self._siblings = siblings
        self._statistics = statistics
        self._extensions = extensions
        self._tasks = tasks
        self._former = former
        self._adopt = adopt
        self._is_server_closing = is_server_closing
        self.moving: Callable[[Message], None] | None = None
        """Given what concerns sessions that move: the supervisor's MoveOut, ShareBus and KeepBus; what it says of processes
        (ShardUp, ShardDown, SeatGone) and of the table, when it has been heeded here; and TableAdopted of another process, or of
        this one."""
        self.cluster: Cluster | None = None
        """Given what other hosts ask, where there are any."""

    def handle(self, message: Message) -> None:
        """Take a message of the supervisor."""
        match message:
            case ShardUp() | ShardDown():
                self._siblings.hear(message)
                self._pass_on(message)
            case ShardSilence():
                self._siblings.hear(message)
            case SeatOpened():
                self._siblings.seat_opened(message.seat, message.path)
            case SeatGone():
                self._siblings.seat_gone(message.seat)
                self._pass_on(message)
            case SlotTable():
                self._adopt(message)
                self._pass_on(message)
            case MoveOut() | CloseStrays() | ShareBus() | KeepBus():
                self._pass_on(message)
            case _:
                self.receive(message)

    def receive(self, message: Message) -> Any:
        """Take a message to this shard's actor. Returns the result, or a future of it; raises a WspulseError."""
        try:
            return self._receive(message)
        except ConnectionNotFoundError as error:
            # The asker may not know yet that the slot belongs to another process.
            owner = self._former.owner_of(error.connection_id)
            if owner is None:
                raise
            raise SessionMovedError(owner) from None

    def _receive(self, message: Message) -> Any:
        shard = self._shard
        match message:
            case SendFrame():
                receiver(shard, message.connection_id, message.key).send(message.wire)
            case BusConsumed():
                self._siblings.consumed(message)
            case BusRooms():
                self._siblings.rooms_told(message)
            case BusRoomsWanted():
                self._siblings.rooms_wanted(message)
            case Kick():
                shard.kick(message.connection_id, message.code, message.reason)
            case CloseConnection():
                session = shard.find(message.connection_id, message.key)
                shard.close_session(session, message.code, message.reason)
            case CallConnection():
                session = shard.find(message.connection_id, message.key)
                waiting = begin_call(session, message.call_id, message.wire, message.timeout_s)
                return self._tasks.spawn(_answer(waiting))
            case WatchClosed():
                return shard.find(message.connection_id, message.key).watch()
            case JoinRoom() | LeaveRoom():
                return self._change_rooms(message)
            case ListConnections():
                return self.listed(message)
            case ListRooms():
                return [(room.id, len(room)) for room in shard.rooms.values() if len(room)]
            case SendPayload():
                session = receiver(shard, message.connection_id)
                session.send(self._encode(message))
            case BroadcastPayload():
                return self._publish(message.room_id, self._encode(message), frozenset(message.exclude))
            case GetStats():
                return self._statistics.now()
            case GetMetrics():
                return self._statistics.measured()
            case WatchRoom() | PresenceReport():
                self._extensions.receive(message)
            case TableAdopted():
                self._pass_on(message)
            case _ if self.cluster is not None and isinstance(message, YieldMessage):
                return self.cluster.receive(message)
            case _:
                shard.options.logger.error(
                    "a message arrived that no shard handles", extra={"message_type": type(message).__name__}
                )
        return None

    def listed(self, message: ListConnections) -> ConnectionList:
        """The sessions that are here, and the seats that some may have gone to."""
        shard = self._shard
        records = shard.records(message.room_id, with_state=message.with_state)
        return ConnectionList(records, shard.transit.gone_to() if shard.transit is not None else [])

    def _pass_on(self, message: Message) -> None:
        if self.moving is not None:
            self.moving(message)

    def _change_rooms(self, message: JoinRoom | LeaveRoom) -> asyncio.Future[None] | None:
        session = self._shard.find(message.connection_id, message.key)
        try:
            if isinstance(message, JoinRoom):
                return join_room(session, message.room_id, message.deadline - monotonic())
            leave_room(session, message.room_id)
        except ValueError as error:
            raise BadRequestError(str(error).removeprefix("wspulse: ")) from None
        return None

    def _encode(self, message: SendPayload | BroadcastPayload) -> bytes:
        shard = self._shard
        codec = shard.options.codec
        try:
            return encode_control_frame(shard.encode, read_control_frame(message.frame, message.encoding, codec))
        except Exception:
            raise
        except BaseException as error:
            # Of a codec of the application's: whoever asks from another process is to have an answer all the same.
            shard.pass_on(error)
            raise RuntimeError("wspulse: the codec raised something that is not an Exception") from error

    def _publish(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> asyncio.Task[None] | None:
        """Broadcast a frame in wire form, at once where the bus takes it. Raises ServerClosedError; the task
        ShardUnavailableError."""
        if self._is_server_closing():
            raise ServerClosedError
        shard = self._shard
        bus = shard.bus
        if bus.acknowledges or not (
            bus.publish_but(room_id, wire, excluded) if excluded else bus.publish(room_id, wire)
        ):
            return self._tasks.spawn(publish_when_free(shard, room_id, wire, excluded))
        shard.metrics.broadcasts += 1
        return None


async def _answer(waiting: Waiting) -> tuple[int, bytes] | None:
    """Raises ConnectionClosedError."""
    answer = await waiting
    return None if answer is None else (answer.opcode, answer.data)
