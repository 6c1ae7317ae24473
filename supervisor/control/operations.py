"""`Operations`: what each operation of the control socket does (doc/reference/control.md lists them).

Created by the control plane for the control server. Each method is an operation of the same name; it gets its arguments,
already checked, and the request's encoding, returns the result, and raises the errors that the table of codes knows.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import msgspec

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.message import (
    BroadcastPayload,
    ConnectionList,
    ConnectionRecord,
    JoinRoom,
    Kick,
    LeaveRoom,
    ListConnections,
    ListRooms,
    Message,
    SendPayload,
)
from wspulse.actors.mesh.placing.listing import list_sessions
from wspulse.actors.values.close_code import check_close
from wspulse.actors.values.errors import BadRequestError, ServerClosedError, ShardUnavailableError
from wspulse.actors.values.text.ids import checked_room_id
from wspulse.supervisor.control.event_publisher import EventPublisher
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.control.statistics import Counted, Elsewhere, Statistics
from wspulse.supervisor.control.telemetry import Telemetry
from wspulse.supervisor.host.installed import installed_version
from wspulse.supervisor.moving.scaling import Scaled
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.process.watching.silence import SILENT_S
from wspulse.supervisor.protocol.wire import Incomplete, NoArguments

__all__ = ["Operations", "OtherHosts", "Supervised"]

CLUSTER_BROADCAST_S = 9.5
"""Its servers may be without a leader for 5 s. Less than the 10 s of clients, so that they are told."""

RECORDS_PER_TURN = 2000
"""About 2 ms of the supervisor's loop."""


Listed = list[dict[str, Any]] | Incomplete
"""The rows of a list; and who is missing, where somebody is."""


class Supervised(Counted, Protocol):
    """What the operations need of the supervisor."""

    children: list[Child]
    """By name: who bears it."""

    @property
    def is_ending(self) -> bool: ...
    async def restart(self, shard: int, *, drain: bool) -> Moved: ...
    async def reload(self, *, drain: bool) -> list[Moved]: ...
    async def scale(self, workers: int) -> Scaled: ...
    def request_shutdown(self, reason: str) -> None: ...
    def hosts(self) -> list[dict[str, Any]]: ...


class OtherHosts(Elsewhere, Protocol):
    """The other hosts of a cluster."""

    async def sessions(self, question: ListConnections) -> list[tuple[str, ConnectionRecord]]:
        """With the name of each one's host. Raises ShardUnavailableError."""

    async def rooms(self) -> list[tuple[str, int]]:
        """Rooms, and how many sessions they have in one of their shards. Raises ShardUnavailableError."""

    losses: Callable[[], int]
    """How often broadcasts of theirs were lost on the way here."""


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


class HostsArguments(_Arguments):
    load: bool = False


class RestartArguments(_Arguments):
    shard: int
    drain: bool = False


class ReloadArguments(_Arguments):
    drain: bool = False


class ScaleArguments(_Arguments):
    workers: int


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
        "hosts": HostsArguments,
        "stats": NoArguments,
        "metrics": NoArguments,
        "restart": RestartArguments,
        "reload": ReloadArguments,
        "scale": ScaleArguments,
        "shutdown": NoArguments,
    }

    def __init__(
        self,
        supervised: Supervised,
        links: ShardLinks,
        events: EventPublisher,
        refused: Callable[[], int],
        others: OtherHosts | None = None,
    ) -> None:
        """`refused()` is how many control clients did not get in; `others` are there where the server spans several hosts."""
        self._others = others
        self._supervised = supervised
        self._links = links
        self._events = events
        self._statistics = Statistics(supervised, links, refused)
        self._telemetry = Telemetry(supervised, links, _no_losses if others is None else others.losses)

    async def ping(self, args: PingArguments, _encoding: str) -> dict[str, Any]:
        if args.event is not None:
            self._events.publish_probe(args.event)
        return {
            "version": installed_version("wspulse") or "unknown",
            "events": self._events.endpoint,
            "workers": len(self._supervised.children),
        }

    async def send(self, args: SendArguments, encoding: str) -> None:
        self._check_open()
        await self._links.ask_owner(args.connection, SendPayload(args.connection, bytes(args.frame), encoding))

    async def broadcast(self, args: BroadcastArguments, encoding: str) -> None:
        self._check_open()
        timeout_s = ASK_TIMEOUT_S if self._others is None else CLUSTER_BROADCAST_S
        message = BroadcastPayload(args.room, bytes(args.frame), encoding, args.exclude)
        await self._links.broadcast(message, timeout_s=timeout_s)

    async def kick(self, args: KickArguments, _encoding: str) -> None:
        self._check_open()
        try:
            check_close(args.code, args.reason)
        except ValueError as error:
            raise BadRequestError(str(error).removeprefix("wspulse: ")) from None
        await self._links.ask_owner(args.connection, Kick(args.connection, args.code, args.reason))

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
        await self._links.ask_owner(message.connection_id, message)

    async def connections(self, args: ConnectionsArguments, _encoding: str) -> Listed:
        return await self._list(ListConnections(args.room), _row)

    async def presence(self, args: PresenceArguments, _encoding: str) -> Listed:
        return await self._list(ListConnections(args.room, with_state=True), _member)

    async def _list(self, question: ListConnections, row: Callable[[ConnectionRecord], dict[str, Any]]) -> Listed:
        """The sessions of all shards, each once, although some may be moving."""
        answers = self._answers()

        async def list_at(seat: int) -> ConnectionList | None:
            incarnation = self._links.incarnation(seat)
            if not incarnation or seat in answers.missing:
                return ConnectionList([])
            try:
                records, gone_to = await self._links.ask(seat, question)
            except ShardUnavailableError:
                if self._links.incarnation(seat) != incarnation:
                    return None
                answers.missing.add(seat)
                return ConnectionList([])
            read: list[ConnectionRecord] = []
            for start in range(0, len(records), RECORDS_PER_TURN):
                read += msgspec.convert(records[start : start + RECORDS_PER_TURN], list[ConnectionRecord])
                await asyncio.sleep(0)
            return ConnectionList(read, gone_to)

        found = await list_sessions([child.seat for child in self._supervised.everybody()], list_at)
        rows: list[dict[str, Any]] = []
        for start in range(0, len(found), RECORDS_PER_TURN):
            rows += map(row, found[start : start + RECORDS_PER_TURN])
            await asyncio.sleep(0)
        if self._others is not None:
            elsewhere = await self._others.sessions(question)
            for start in range(0, len(elsewhere), RECORDS_PER_TURN):
                some = elsewhere[start : start + RECORDS_PER_TURN]
                rows += [{**row(record), "host": host} for host, record in some]
                await asyncio.sleep(0)
        return self._listed(answers, rows)

    async def rooms(self, _args: NoArguments, _encoding: str) -> Listed:
        members: Counter[str] = Counter()
        answers = await self._ask_all(ListRooms())
        for answer in answers.values():
            for room_id, count in answer:
                members[room_id] += count
        if self._others is not None:
            for room_id, count in await self._others.rooms():
                members[room_id] += count
        return self._listed(answers, [{"id": room_id, "connections": count} for room_id, count in members.items()])

    async def hosts(self, args: HostsArguments, _encoding: str) -> list[dict[str, Any]]:
        hosts = self._supervised.hosts()
        return await self._statistics.of_hosts(hosts, self._others) if args.load else hosts

    async def stats(self, _args: NoArguments, _encoding: str) -> dict[str, Any]:
        return await self._statistics.told()

    async def metrics(self, _args: NoArguments, _encoding: str) -> list[dict[str, Any]]:
        return await self._telemetry.told()

    async def restart(self, args: RestartArguments, _encoding: str) -> dict[str, Any]:
        self._check_open()
        try:
            moved = await self._supervised.restart(args.shard, drain=args.drain)
        except IndexError as error:
            raise BadRequestError(str(error).removeprefix("wspulse: ")) from None
        answer = moved._asdict()
        del answer["shard"]
        return answer

    async def reload(self, args: ReloadArguments, _encoding: str) -> list[dict[str, Any]]:
        self._check_open()
        return [moved._asdict() for moved in await self._supervised.reload(drain=args.drain)]

    async def scale(self, args: ScaleArguments, _encoding: str) -> dict[str, Any]:
        self._check_open()
        try:
            scaled = await self._supervised.scale(args.workers)
        except ValueError as error:
            raise BadRequestError(str(error).removeprefix("wspulse: ")) from None
        return scaled._asdict()

    async def shutdown(self, _args: NoArguments, _encoding: str) -> None:
        self._supervised.request_shutdown("the control socket asked for it")

    def _check_open(self) -> None:
        if self._supervised.is_ending:
            raise ServerClosedError

    def _answers(self) -> _Answers:
        """None yet. Nobody waits for a worker that has been silent for a while."""
        self._check_open()
        silent = {child.seat for child in self._supervised.everybody() if child.silence_s >= SILENT_S}
        return _Answers(missing={seat for seat in silent if self._links.is_up(seat)})

    async def _ask_all(self, message: Message) -> _Answers:
        """What the shards answer."""
        answers = self._answers()
        awake = [child.seat for child in self._supervised.everybody() if child.seat not in answers.missing]
        for seat, answer in (await self._links.ask_all(message, only=awake)).items():
            if isinstance(answer, ShardUnavailableError):
                answers.missing.add(seat)
            else:
                answers[seat] = answer
        return answers

    def _listed(self, answers: _Answers, rows: list[dict[str, Any]]) -> Listed:
        """What was made of the answers, as the result of an operation."""
        if not answers.missing:
            return rows
        names = {child.shard for child in self._supervised.everybody() if child.seat in answers.missing}
        return Incomplete(rows, sorted(names))


class _Answers(dict[int, Any]):
    """What shards answered, by seat, and those that are alive and did not."""

    def __init__(self, *, missing: set[int]) -> None:
        super().__init__()
        self.missing = missing


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


def _no_losses() -> int:
    """One host has no others."""
    return 0
