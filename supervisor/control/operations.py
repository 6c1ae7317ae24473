"""`Operations`: what each operation of the control socket does (doc/control.md lists them).

Created by the control plane for the control server. Each method is an operation of the same name; it gets its arguments,
already checked, and the request's encoding, returns the result, and raises the errors that the table of codes knows.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import msgspec

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.message import (
    BroadcastPayload,
    ConnectionRecord,
    GetStats,
    JoinRoom,
    Kick,
    LeaveRoom,
    ListConnections,
    ListRooms,
    Message,
    SendPayload,
)
from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.errors import BadRequestError, ServerClosedError, ShardUnavailableError
from wspulse.actors.values.health import Health
from wspulse.actors.values.text.ids import checked_room_id
from wspulse.supervisor.control.event_publisher import EventPublisher
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.host.installed import installed_version
from wspulse.supervisor.host.memory import resident_bytes
from wspulse.supervisor.process.child import Child, ChildState
from wspulse.supervisor.process.tally import Counts, added
from wspulse.supervisor.process.watching.silence import SILENT_S
from wspulse.supervisor.protocol.wire import Incomplete, NoArguments

__all__ = ["Operations", "Supervised"]

STATS_TIMEOUT_S = 2.0
"""A person watches: a silent worker is shown as silent rather than waited for."""

RECORDS_PER_TURN = 2000
"""About 2 ms of the supervisor's loop."""


Listed = list[dict[str, Any]] | Incomplete
"""The rows of a list; and who is missing, where somebody is."""


class Supervised(Protocol):
    """What the operations need of the supervisor."""

    children: list[Child]
    health: Health

    @property
    def is_ending(self) -> bool: ...
    async def restart_shard(self, shard: int) -> None: ...
    def request_shutdown(self, reason: str) -> None: ...


class _Arguments(msgspec.Struct, forbid_unknown_fields=True):
    pass


class PingArguments(_Arguments):
    event: str | None = None
    """Published as the topic `ping.<event>`: whoever gets it knows that its subscriptions are active."""


class SendArguments(_Arguments):
    connection: str
    frame: msgspec.Raw


class BroadcastArguments(_Arguments):
    room: str
    frame: msgspec.Raw
    exclude: tuple[str, ...] = ()


class KickArguments(_Arguments):
    connection: str
    code: int = 1000
    reason: str = "kicked"


class MembershipArguments(_Arguments):
    connection: str
    room: str


class ConnectionsArguments(_Arguments):
    room: str | None = None


class PresenceArguments(_Arguments):
    room: str


class RestartArguments(_Arguments):
    shard: int


class Operations:
    """See the module."""

    arguments: ClassVar[dict[str, type[msgspec.Struct]]] = {
        "ping": PingArguments,
        "send": SendArguments,
        "broadcast": BroadcastArguments,
        "kick": KickArguments,
        "join": MembershipArguments,
        "leave": MembershipArguments,
        "connections": ConnectionsArguments,
        "presence": PresenceArguments,
        "rooms": NoArguments,
        "stats": NoArguments,
        "restart": RestartArguments,
        "reload": NoArguments,
        "shutdown": NoArguments,
    }

    def __init__(
        self, supervised: Supervised, links: ShardLinks, events: EventPublisher, refused: Callable[[], int]
    ) -> None:
        """`refused()` is how many control clients did not get in."""
        self._refused = refused
        self._supervised = supervised
        self._links = links
        self._events = events
        self._started_at = time.monotonic()
        self._reload = asyncio.Lock()

    async def ping(self, args: PingArguments, _encoding: str) -> dict[str, Any]:
        if args.event is not None:
            self._events.publish_probe(args.event)
        return {
            "version": installed_version("wspulse") or "unknown",
            "events": self._events.endpoint,
            "workers": self._links.placement.shards,
        }

    async def send(self, args: SendArguments, encoding: str) -> None:
        self._check_open()
        frame = bytes(args.frame)
        shard = self._links.placement.shard_of(args.connection)
        await self._links.ask(shard, SendPayload(args.connection, frame, encoding), len(frame))

    async def broadcast(self, args: BroadcastArguments, encoding: str) -> None:
        self._check_open()
        frame = bytes(args.frame)
        shard = self._links.broadcaster(args.room)
        await self._links.ask(shard, BroadcastPayload(args.room, frame, encoding, args.exclude), len(frame))

    async def kick(self, args: KickArguments, _encoding: str) -> None:
        self._check_open()
        try:
            check_close(args.code, args.reason)
        except ValueError as error:
            raise BadRequestError(str(error).removeprefix("wspulse: ")) from None
        shard = self._links.placement.shard_of(args.connection)
        await self._links.ask(shard, Kick(args.connection, args.code, args.reason))

    async def join(self, args: MembershipArguments, _encoding: str) -> None:
        deadline = time.monotonic() + ASK_TIMEOUT_S
        await self._change_rooms(JoinRoom(args.connection, args.room, deadline))

    async def leave(self, args: MembershipArguments, _encoding: str) -> None:
        await self._change_rooms(LeaveRoom(args.connection, args.room))

    async def _change_rooms(self, message: JoinRoom | LeaveRoom) -> None:
        self._check_open()
        try:
            checked_room_id(message.room_id)
        except ValueError as error:
            raise BadRequestError(str(error).removeprefix("wspulse: ")) from None
        await self._links.ask(self._links.placement.shard_of(message.connection_id), message)

    async def connections(self, args: ConnectionsArguments, _encoding: str) -> Listed:
        rows: list[dict[str, Any]] = []
        answers = await self._ask_all(ListConnections(args.room))
        for answer, _gone_to in answers.values():
            for start in range(0, len(answer), RECORDS_PER_TURN):
                for record in msgspec.convert(answer[start : start + RECORDS_PER_TURN], list[ConnectionRecord]):
                    rows.append(_row(record))  # noqa: PERF401
                await asyncio.sleep(0)
        return answers.listed(rows)

    async def presence(self, args: PresenceArguments, _encoding: str) -> Listed:
        rows: list[dict[str, Any]] = []
        answers = await self._ask_all(ListConnections(args.room, with_state=True))
        for answer, _gone_to in answers.values():
            for start in range(0, len(answer), RECORDS_PER_TURN):
                for record in msgspec.convert(answer[start : start + RECORDS_PER_TURN], list[ConnectionRecord]):
                    rows.append(_member(record))  # noqa: PERF401
                await asyncio.sleep(0)
        return answers.listed(rows)

    async def rooms(self, _args: NoArguments, _encoding: str) -> Listed:
        members: Counter[str] = Counter()
        answers = await self._ask_all(ListRooms())
        for answer in answers.values():
            for room_id, count in answer:
                members[room_id] += count
        return answers.listed([{"id": room_id, "connections": count} for room_id, count in members.items()])

    async def stats(self, _args: NoArguments, _encoding: str) -> dict[str, Any]:
        children = self._supervised.children
        awake = [child.shard for child in children if child.silence_s < SILENT_S]
        incarnations = {shard: self._links.incarnation(shard) for shard in awake}
        answers = await self._links.ask_all(GetStats(), only=awake, timeout_s=STATS_TIMEOUT_S)
        workers, totals = [], Counter[str]()
        counted: Counts = {}
        for child in children:
            answer = answers.get(child.shard)
            if isinstance(answer, dict):
                child.tally.heard(incarnations[child.shard], answer.pop("counters", {}))
            gauges = _worker_gauges(child, answer)
            for name, value in gauges.items():
                if name not in NOT_TOTALLED and isinstance(value, (int, float)):
                    totals[name] += value  # type: ignore[assignment]
            workers.append({**gauges, **child.tally.of(child.incarnation)})
            counted = added(counted, child.tally.total)
        totals["rooms"] = await self._room_count(answers)
        now = time.monotonic()
        return {
            "version": installed_version("wspulse") or "unknown",
            "pid": os.getpid(),
            "uptime_s": now - self._started_at,
            "rss_bytes": resident_bytes(os.getpid()),
            "unwell": list(self._supervised.health.reasons),
            "control_refused": self._refused(),
            "totals": {**totals, **counted},
            "workers": workers,
        }

    async def _room_count(self, answers: Mapping[int, Any]) -> int:
        """How many rooms there are on the shards that told how many they have: one may be on several of them."""
        counts = {shard: answer.get("rooms", 0) for shard, answer in answers.items() if isinstance(answer, dict)}
        if sum(1 for count in counts.values() if count) < 2:
            return sum(counts.values())
        rooms: set[str] = set()
        for answer in (await self._links.ask_all(ListRooms(), only=counts, timeout_s=STATS_TIMEOUT_S)).values():
            if not isinstance(answer, ShardUnavailableError):
                rooms.update(room_id for room_id, _ in answer)
                await asyncio.sleep(0)
        return len(rooms)

    async def restart(self, args: RestartArguments, _encoding: str) -> None:
        self._check_open()
        try:
            await self._supervised.restart_shard(args.shard)
        except IndexError as error:
            raise BadRequestError(str(error).removeprefix("wspulse: ")) from None

    async def reload(self, _args: NoArguments, _encoding: str) -> None:
        self._check_open()
        async with self._reload:
            for shard in range(self._links.placement.shards):
                self._check_open()
                await self._supervised.restart_shard(shard)

    async def shutdown(self, _args: NoArguments, _encoding: str) -> None:
        self._supervised.request_shutdown("the control socket asked for it")

    def _check_open(self) -> None:
        if self._supervised.is_ending:
            raise ServerClosedError

    async def _ask_all(self, message: Message) -> _Answers:
        """What the shards answer. Nobody waits for a worker that has been silent for a while."""
        self._check_open()
        awake = [child.shard for child in self._supervised.children if child.silence_s < SILENT_S]
        silent = {child.shard for child in self._supervised.children} - set(awake)
        answers = _Answers(missing={shard for shard in silent if self._links.is_up(shard)})
        for shard, answer in (await self._links.ask_all(message, only=awake)).items():
            if isinstance(answer, ShardUnavailableError):
                answers.missing.add(shard)
            else:
                answers[shard] = answer
        return answers


class _Answers(dict[int, Any]):
    """What shards answered, by shard, and those that are alive and did not."""

    def __init__(self, *, missing: set[int]) -> None:
        super().__init__()
        self.missing = missing

    def listed(self, rows: list[dict[str, Any]]) -> Listed:
        """What was made of the answers, as the result of an operation."""
        return Incomplete(rows, sorted(self.missing)) if self.missing else rows


NOT_TOTALLED = frozenset({"rooms", "shard", "pid", "silent_for_s", "uptime_s", "loop_lag_s", "loop_lag_worst_s"})
"""Gauges of which a sum means nothing."""


def _worker_gauges(child: Child, answer: Any) -> dict[str, Any]:
    """What a worker is and has at this moment. Its restarts are none, but nor do they fall."""
    state = child.state.value
    if child.state is ChildState.READY and (child.silence_s >= SILENT_S or isinstance(answer, ShardUnavailableError)):
        state = "silent"
    known = answer if isinstance(answer, dict) else {"connections": child.connections}
    return {
        "shard": child.shard,
        "pid": child.pid,
        "state": state,
        "silent_for_s": round(child.silence_s, 1) if child.silence_s >= SILENT_S else 0.0,
        "restarts": child.restarts,
        "rss_bytes": None if child.pid is None else resident_bytes(child.pid),
        **known,
    }


def _row(record: ConnectionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "room": record.room_id,
        "rooms": [record.room_id, *record.further_rooms],
        "shard": record.shard,
        "state": record.state,
        "connected_at": record.connected_at,
        "queued": record.queued_frames,
    }


def _member(record: ConnectionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "rooms": [record.room_id, *record.further_rooms],
        "state": record.application_state or {},
        "suspended": record.state == "suspended",
        "since": record.connected_at,
        "shard": record.shard,
    }
