"""`ClusterStage`: pretended hosts whose sessions say what happens to them, in a loop whose time the test sets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from tests.support.cluster.client import Client
from tests.support.cluster.host import Host
from tests.support.cluster.network import Network
from tests.support.simulation.loop import SimLoop
from wspulse.actors.mesh.message import Kick, SendFrame
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.connections.snapshot import snapshot
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.state import SessionEvent
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ServerClosedError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["ClusterStage", "cluster_stage"]


def payload_of(wire: bytes) -> Any:
    return json.loads(wire[wire.index(b"{") :]).get("payload")


class ClusterStage:
    """`log` has what callbacks were called, as (host, callback, id, what it was given)."""

    def __init__(
        self, loop: SimLoop, seed: int, names: str, delays_s: tuple[float, float], options: dict[str, Any]
    ) -> None:
        self.loop = loop
        self.network = Network(loop, Random(seed), delays_s)
        self.options = ServerOptions(**{"resume_window": 30, "max_message_size": 1 << 16, **options})
        self.log: list[tuple[str, str, str, Any]] = []
        self.gates: dict[str, asyncio.Event] = {}
        """A handler of "wait" waits for that of its payload; and a callback for that of its name."""
        self.watch: Callable[[str, str, Connection, Any], None] = lambda _host, _callback, _connection, _given: None
        self.pause_s: Callable[[], float] = lambda: 0.0
        """How long the next callback takes."""
        self.unsure: set[str] = set()
        """The hosts whose sessions may be others'."""
        self.hosts: dict[str, Host] = {}
        self.has_lost_leases = False
        for number, name in enumerate(names, 1):
            self.hosts[name] = Host(self.network, name, number, self.options, self._handlers(name))
        for host in self.hosts.values():
            host.gateway.others = {name: other for name, other in self.hosts.items() if other is not host}
        self.tasks: list[asyncio.Task[Any]] = []

    @property
    def directory(self) -> Any:
        return self.network.directory

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def _handlers(self, name: str) -> Handlers:
        note = self.log.append

        async def callback(kind: str, connection: Connection, given: Any = None) -> None:
            self.watch(name, kind, connection, given)
            note((name, kind, connection.id, given))
            if kind in self.gates:
                await self.gates[kind].wait()
            await self._pause()
            self.watch(name, "", connection, None)

        async def on_message(connection: Connection, frame: Frame) -> None:
            payload = frame.decode()
            self.watch(name, "message", connection, payload)
            note((name, frame.event, connection.id, payload))
            if frame.event == "wait":
                await self.gates[payload].wait()
            elif frame.event == "join":
                await connection.join(payload)
            elif frame.event == "set":
                connection.state.update(payload)
            await self._pause()
            self.watch(name, "", connection, None)

        return Handlers(
            on_connect=lambda connection: callback("connect", connection),
            on_message=on_message,
            on_disconnect=lambda connection, error: callback("disconnect", connection, error),
            on_transport_drop=lambda connection, error: callback("drop", connection, error),
            on_transport_restore=lambda connection: callback("restore", connection),
            on_transfer_in=lambda connection: callback("transfer_in", connection),
            on_transfer_out=lambda connection: callback("transfer_out", connection),
        )

    async def _pause(self) -> None:
        if pause_s := self.pause_s():
            await asyncio.sleep(pause_s)

    # What is done.

    def run(self, seconds: float = 1.0) -> None:
        """Time goes by, each timer is called when it is due."""
        until = self.loop.now + seconds
        self._turn()
        while (due := self.loop.next_timer()) <= until:
            self.loop.now = max(due, self.loop.now)
            self._turn()
        self.loop.now = until
        assert self.loop.reports == [], self.loop.reports

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """As long as it takes."""
        end = self.loop.now + seconds
        while not condition():
            assert self.loop.now < end, "it does not come about"
            self.run(0.0005)

    def gate(self, name: str) -> asyncio.Event:
        """What a handler of "wait" with this payload, or a callback of this name, waits for."""
        gate = self.gates[name] = asyncio.Event()
        return gate

    def _turn(self) -> None:
        while not self.loop.idle:
            self.loop.turn()
            self.check()

    def check(self) -> None:
        """No id has sessions on two hosts."""
        seen: dict[str, Host] = {}
        for name, host in self.hosts.items():
            if not host.is_dead and name not in self.unsure:
                for connection_id in host.shard.sessions:
                    assert connection_id not in seen, f"{connection_id} is on {host} and {seen[connection_id]}"
                    seen[connection_id] = host

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    def result(self, work: Coroutine[Any, Any, Any], seconds: float = 10.0) -> Any:
        """What it returns, or the error that it raises."""
        task = self.start(work)
        until = self.loop.now + seconds
        while not task.done() and self.loop.now < until:
            self.run(0.01)
        assert task.done(), "it does not end"
        return task.exception() or task.result()

    def open(self, connection_id: str, name: str, room_id: str = "lobby", **kind: Any) -> Client:
        """A client that is connected to this host."""
        client = Client(connection_id, room_id, **kind)
        client.dial(self.hosts[name])
        self.run()
        assert client.status == 101
        return client

    async def send(self, name: str, connection_id: str, payload: Any, event: str = "direct") -> None:
        host = self.hosts[name]
        wire = host.encode(Frame(event, payload))
        await host.owners.ask(connection_id, SendFrame(connection_id, wire))

    async def kick(self, name: str, connection_id: str) -> None:
        await self.hosts[name].owners.ask(connection_id, Kick(connection_id))

    def broadcast(self, name: str, payload: Any, room_id: str = "lobby", *, excluded: str = "") -> None:
        host = self.hosts[name]
        wire = host.encode(Frame("room", payload, room=room_id))
        host.bus.publish_but(room_id, wire, frozenset({excluded} if excluded else ()))

    def published(self, room_id: str) -> list[Any]:
        """What was broadcast to a room, in the order in which all get it."""
        return [payload_of(message.frames[0]) for message in self.network.streams.rooms.get(room_id, [])]

    def send_by(self, connection: Connection, payload: Any) -> None:
        """As the application does it that has kept it."""
        connection.send_nowait(Frame("direct", payload))

    def remote(self, name: str, connection_id: str) -> RemoteConnection:
        """The connection of a session wherever it lives now, as this host's application gets it."""
        [where] = self.where(connection_id)
        return self.hosts[name].remote(snapshot(self.hosts[where].shard.sessions[connection_id], 0))

    def kill(self, name: str) -> None:
        """The host dies, and with it the connections of its clients; its lease ends."""
        self.hosts[name].dies()
        self.network.alive.discard(name)

    # What is seen.

    def of(self, connection_id: str, *callbacks: str) -> list[tuple[str, str]]:
        return [
            (name, callback)
            for name, callback, found, _ in self.log
            if found == connection_id and (not callbacks or callback in callbacks)
        ]

    def given(self, connection_id: str, callback: str) -> Any:
        """What it was given the last time."""
        return [given for _, kind, found, given in self.log if (kind, found) == (callback, connection_id)][-1]

    def where(self, connection_id: str) -> list[str]:
        return [name for name, host in self.hosts.items() if not host.is_dead and connection_id in host.shard.sessions]

    def rooms_of(self, connection_id: str) -> list[str]:
        """That its session is in, wherever that is."""
        [where] = self.where(connection_id)
        return list(self.hosts[where].shard.sessions[connection_id].connection.rooms)

    def assert_nothing_is_left(self) -> None:
        """Of anything that was under way."""
        for host in self.hosts.values():
            if host.is_dead:
                continue
            shard, cluster = host.shard, host.cluster
            assert shard.halting is None
            assert shard.transit is None
            assert not shard.admission.newcomers
            assert not any(room.keepers or room.joiners for room in shard.rooms.values())
            assert not cluster._newcomers._waiting
            assert not cluster._newcomers._queues
            assert not cluster._ids._wanted
            assert not cluster._ids._deciding
            assert not cluster._ids._running
            assert not cluster._messages._held
            held = cluster._ids.held
            assert held.keys() == shard.sessions.keys() | (shard.finishing.keys() & held.keys())
            for connection_id, revision in held.items():
                entry = self.directory.entries[connection_id]
                assert (entry.host, entry.revision) == (host.name, revision)
        living = {name for name, host in self.hosts.items() if not host.is_dead}
        sessions = {connection_id for name in living for connection_id in self.hosts[name].shard.sessions}
        entries = {key: entry for key, entry in self.directory.entries.items() if entry.host in living}
        # Of one whose host had no lease when it ended nobody could say whose it was.
        assert entries.keys() <= sessions or self.has_lost_leases, entries

    def abandon(self) -> None:
        """Nothing of it runs any more."""
        for host in self.hosts.values():
            host.dies()
        for task in self.tasks:
            task.cancel()
        self.loop.run_until_idle(100_000)

    def close(self) -> None:
        """All sessions end."""
        for host in self.hosts.values():
            if not host.is_dead:
                for session in list(host.shard.sessions.values()):
                    session.apply(SessionEvent.SERVER_CLOSE, error=ServerClosedError(), close=CloseReason.SERVER_CLOSE)
        for gate in self.gates.values():
            gate.set()
        self.run(20.0)
        for host in self.hosts.values():
            if not host.is_dead:
                assert not host.shard.unfinished
                assert not host.tasks._tasks, host.tasks._tasks


@contextmanager
def cluster_stage(
    names: str = "AB", *, seed: int = 0, delays_s: tuple[float, float] = (0.001, 0.001), **options: Any
) -> Iterator[ClusterStage]:
    """Hosts of these names, of one letter each; on the way out all sessions end, and nothing is left."""
    with SimLoop(seed) as loop:  # type: ignore[abstract]
        stage = ClusterStage(loop, seed, names, delays_s, options)
        try:
            yield stage
            stage.run()
            stage.close()
            stage.assert_nothing_is_left()
        finally:
            stage.abandon()
