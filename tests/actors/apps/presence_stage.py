"""The stage for several `Presence` without processes: shards that only keep sessions, and streams that bring what they tell each
other when the test says so, in the order of each stream."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from tests.support.simulation.loop import SimLoop
from wspulse import Connection
from wspulse.actors.apps.presence import Presence
from wspulse.actors.mesh.message import Message
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.values.frame import Frame

__all__ = ["Process", "StagedMember", "Streams"]


class _Connection:
    def __init__(self, connection_id: str, asks: bool) -> None:
        self.id, self.room_id, self.asks = connection_id, "tea", asks


class StagedMember:
    """A session of room "tea", as it is in one process, and what it was told there."""

    transport = object()

    def __init__(self, name: str, *, asks: bool, state: SessionState = SessionState.CONNECTED) -> None:
        self.id = name
        self.state = state
        self.asks = asks
        self.room = SimpleNamespace(id="tea")
        self.connection = cast("Connection", _Connection(name, asks))
        self.frames: list[tuple[str, Any]] = []

    def send(self, wire: bytes) -> None:
        frame = json.loads(wire)
        self.frames.append((frame["event"], frame["payload"]))

    @property
    def listed(self) -> dict[str, tuple[int, str]] | None:
        """Who is there, as it was told; None where it was told nothing yet."""
        room: dict[str, tuple[int, str]] | None = None
        for event, payload in self.frames:
            if event == "presence.room":
                room = {each["id"]: (each["worker"], each["state"]) for each in payload["members"]}
        return room

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [
            (change["what"], change["id"])
            for event, payload in self.frames
            if event == "presence.changes"
            for change in payload["changes"]
        ]


class Streams:
    """What is on its way between the processes."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.processes: dict[int, Process] = {}
        self._incarnation = 0
        self._under_way: dict[tuple[int, int], deque[Message]] = {}

    def tell(self, sender: int, receiver: int, message: Message) -> None:
        self._under_way.setdefault((sender, receiver), deque()).append(message)

    def bring_one(self, way: tuple[int, int]) -> None:
        receiver = self.processes.get(way[1])
        message: Any = self._under_way[way].popleft()
        if receiver is not None:
            receiver.presence.receive(message)

    @property
    def busy(self) -> list[tuple[int, int]]:
        return [way for way, messages in self._under_way.items() if messages]

    def bring_some(self, draw: Random) -> None:
        for _ in range(draw.randrange(4)):
            if self.busy:
                self.bring_one(draw.choice(self.busy))

    def settle(self, seconds: float = 0.2) -> None:
        """Bring everything, and let what is gathered be told."""
        for _ in range(int(seconds / 0.05)):
            while self.busy:
                self.bring_one(self.busy[0])
            self.loop.pass_time(0.05)

    def start(self, seat: int, worker: int, joined: Callable[[Process], None] = lambda _process: None) -> Process:
        """`joined(process)` has it join other hosts."""
        self._incarnation += 1
        process = self.processes[seat] = Process(self, seat, worker, self._incarnation, joined)
        for other in self.processes.values():
            if other is not process:
                other.presence.shard_up(seat, process.shard.incarnation)
                process.presence.shard_up(other.shard.seat, other.shard.incarnation)
        return process

    def end(self, seat: int) -> None:
        """As when a process is gone, and what it said last has been read."""
        for way in self.busy:
            while way[0] == seat and way in self.busy:
                self.bring_one(way)
        process = self.processes.pop(seat)
        for other in self.processes.values():
            other.presence.shard_down(seat, process.shard.incarnation)
        process.presence.close()


class _Ref:
    def __init__(self, streams: Streams, sender: int, receiver: int) -> None:
        self._way = sender, receiver
        self._streams = streams

    def tell(self, message: Message) -> None:
        self._streams.tell(*self._way, message)


class _Shard:
    keeps_kind = False
    options = SimpleNamespace(resume_window=30.0)

    def __init__(self, loop: SimLoop, seat: int, index: int, incarnation: int) -> None:
        self.loop, self.seat, self.index, self.incarnation = loop, seat, index, incarnation
        self.context = copy_context()
        self.sessions: dict[str, StagedMember] = {}
        self.transit: Any = None

    def encode(self, frame: Frame) -> bytes:
        return json.dumps({"event": frame.event, "payload": frame.payload}).encode()

    @property
    def rooms(self) -> dict[str, Any]:
        return {"tea": SimpleNamespace(members=self.sessions.values)}


class Process:
    """One process: its presence, and what happens to its sessions."""

    def __init__(
        self, streams: Streams, seat: int, worker: int, incarnation: int, joined: Callable[[Process], None]
    ) -> None:
        self.streams = streams
        self.shard = _Shard(streams.loop, seat, worker, incarnation)
        self.presence = Presence(lambda connection: cast("Any", connection).asks)
        self.cluster: Any = None
        joined(self)
        self.presence.open(cast("Any", self))
        self.workers = 2

    @property
    def refs(self) -> dict[int, Any]:
        return {seat: _Ref(self.streams, self.shard.seat, seat) for seat in self.streams.processes}

    def connect(self, name: str, *, asks: bool = False) -> StagedMember:
        member = self.shard.sessions[name] = StagedMember(name, asks=asks)
        self.presence.connected(member.connection)
        return member

    def suspend(self, name: str) -> None:
        member = self.shard.sessions[name]
        member.state = SessionState.SUSPENDED
        self.presence.suspended(member.connection, None)

    def end(self, name: str) -> None:
        self.presence.gone(self.shard.sessions.pop(name).connection, None)

    def depart(self, name: str) -> StagedMember:
        member = self.shard.sessions.pop(name)
        self.presence.departed(member.connection)
        return member

    def arrive(self, left: StagedMember) -> StagedMember:
        member = self.shard.sessions[left.id] = StagedMember(left.id, asks=left.asks, state=left.state)
        self.presence.arrived(member.connection)
        return member
