"""The stage for several `Presence` on several hosts: processes of `presence_stage`, and ways between hosts that may lose what
goes there, and what comes back, and bring it once more when it is late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from tests.actors.apps.presence_stage import Process, StagedMember, Streams
from tests.support.simulation.loop import SimLoop
from wspulse.actors.cluster.far.shards import FarShards
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placing.yields import FarTell
from wspulse.actors.values.errors import ShardUnavailableError

__all__ = ["HostsStage", "StagedHost", "hosts_stage", "rooms_as_told"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class StagedHost:
    """One host: its processes, and its gateway."""

    def __init__(self, stage: HostsStage, name: str, life: int) -> None:
        self.stage = stage
        self.name = name
        self.tag = f"{name}-{life}"
        self.streams = Streams(stage.loop)
        self.far: dict[int, FarShards] = {}
        self.is_dead = False

    def __getitem__(self, seat: int) -> Process:
        return self.streams.processes[seat]

    def start(self, seat: int, worker: int | None = None) -> Process:
        """Have a process there, of the worker with that number."""

        def joined(process: Process) -> None:
            far = self.far[seat] = FarShards(
                cast("Any", process.shard), cast("Any", self), process.presence, self.stage.spawn
            )
            process.cluster = SimpleNamespace(host=self.name, far=far)

        process = self.streams.start(seat, seat if worker is None else worker, joined)
        self.stage.tell_living()
        return process

    def end(self, seat: int) -> None:
        """It is killed."""
        self.streams.end(seat)
        self.far.pop(seat).living([], [])
        self.stage.tell_living()

    @property
    def shards(self) -> list[tuple[str, int, int]]:
        return [(self.tag, seat, each.shard.incarnation) for seat, each in self.streams.processes.items()]

    # As a gateway.

    async def ask_host(self, name: str, message: FarTell, timeout_s: float) -> list[Any]:
        stage, loop = self.stage, self.stage.loop
        answers: list[Any] | None = None
        data = _encode(message)
        loses_question, loses_answer, is_copied = (stage.is_unlucky() for _ in range(3))
        await asyncio.sleep(stage.delay())
        host = stage.hosts.get(name)
        if host is not None and not loses_question and not stage.is_away:
            answers = host.take(data)
            if is_copied:
                loop.call_later(stage.draw.uniform(0.0, 5.0), host.take, data)
        await asyncio.sleep(stage.delay())
        if answers is None or loses_answer or stage.is_away:
            await asyncio.sleep(timeout_s)
            raise ShardUnavailableError("no answer")
        return answers

    def take(self, data: bytes) -> list[Any]:
        silent = [seat for seat in self.far if self.stage.is_unlucky()]
        if self.is_dead:
            return []
        answers = [far.receive(_decode(data)) for seat, far in self.far.items() if seat not in silent]
        return cast("list[Any]", msgspec.msgpack.decode(_encode(answers)))


class HostsStage:
    """See the module. `loss` is how probable it is that something is lost."""

    def __init__(self, loop: SimLoop, draw: Random, delays_s: tuple[float, float]) -> None:
        self.loop = loop
        self.draw = draw
        self.delays_s = delays_s
        self.loss = 0.0
        self.is_away = False
        """Whether no host reaches any other one."""
        self.hosts: dict[str, StagedHost] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self._lives = 0

    def start(self, name: str, processes: int = 1) -> StagedHost:
        self._lives += 1
        host = self.hosts[name] = StagedHost(self, name, self._lives)
        for seat in range(processes):
            host.start(seat)
        return host

    def kill(self, name: str) -> None:
        """The others know it at once."""
        host = self.hosts.pop(name)
        host.is_dead = True
        self.tell_living()
        for seat in list(host.far):
            host.streams.end(seat)
            host.far[seat].living([], [])

    def tell_living(self, *, without: str = "") -> None:
        """To all processes: who is alive; `without`: nobody knows that host, nor does it know others."""
        for host in self.hosts.values():
            known = [host] if host.name == without else [each for each in self.hosts.values() if each.name != without]
            names = [(each.tag, each.name) for each in known]
            shards = [shard for each in known for shard in each.shards if each is not host]
            for far in host.far.values():
                far.living(names, shards)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def delay(self) -> float:
        return self.draw.uniform(*self.delays_s)

    def is_unlucky(self) -> bool:
        return self.draw.random() < self.loss

    def settle(self, seconds: float) -> None:
        """Let time go by, in which everything is brought."""
        for _ in range(int(seconds / 0.05)):
            for host in self.hosts.values():
                host.streams.settle(0.0)
                while host.streams.busy:
                    host.streams.bring_one(host.streams.busy[0])
            self.loop.pass_time(0.05)


def rooms_as_told(watcher: StagedMember) -> dict[str, tuple[str, int, str]]:
    """Id → (host, worker, state), as its frames have told a watcher one after the other."""
    room: dict[str, tuple[str, int, str]] = {}
    for event, payload in watcher.frames:
        if event == "presence.room":
            room = {each["id"]: (each["host"], each["worker"], each["state"]) for each in payload["members"]}
        elif event == "presence.changes":
            for change in payload["changes"]:
                name, what = change["id"], change["what"]
                assert (name in room) == (what != "came"), f"{what} {name}, of {room}"
                if what == "went":
                    del room[name]
                else:
                    state = {"dropped": "suspended", "moved": change.get("state")}.get(what, "connected")
                    room[name] = (change["host"], change["worker"], str(state))
    return room


@contextmanager
def hosts_stage(draw: Random, delays_s: tuple[float, float] = (0.001, 0.01)) -> Iterator[HostsStage]:
    with SimLoop(draw.randrange(2**32)) as loop:  # type: ignore[abstract]
        stage = HostsStage(loop, draw, delays_s)
        yield stage
        stage.settle(10.0)
        for host in stage.hosts.values():
            for process in host.streams.processes.values():
                process.presence.close()
        loop.pass_time(60.0)
        assert loop.reports == []
        assert not stage.tasks, "somebody asks for ever"
        assert loop.next_timer() == float("inf")
