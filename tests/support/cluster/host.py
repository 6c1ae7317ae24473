"""`Host`: a pretended host: one real shard with its owners, its cluster and what it receives; its bus and its gateway are
pretended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import msgspec

from tests.support.cluster.network import Message as RoomMessage
from tests.support.cluster.network import Network, Wire
from wspulse.actors.cluster.cluster import Cluster
from wspulse.actors.cluster.contract import Claimed, Found, Missed, Taken
from wspulse.actors.mesh.actor import ActorRef, LocalRef
from wspulse.actors.mesh.message import ConnectionRecord, Message
from wspulse.actors.mesh.placement import Placement, tag_in
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.mesh.placing.owners import Owners
from wspulse.actors.runtime.dispatch import Dispatch
from wspulse.actors.runtime.extension import Extension
from wspulse.actors.runtime.task_set import TaskSet
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.halting import Aborting
from wspulse.actors.values.errors import ShardUnavailableError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Host", "PretendedGateway"]

_encode = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(Message).decode


def _soon(task: asyncio.Task[Any]) -> None:
    task.get_loop().call_soon(task.cancel)


class StreamBus:
    """One host's end of the streams."""

    acknowledges = False

    leave_delay_s = 0.0

    def __init__(self, host: Host, network: Network) -> None:
        self._host = host
        self._network = network
        self._out, self._in = Wire(network), Wire(network)
        self._seen: dict[str, int] = {}
        self._joins: dict[str, object] = {}
        self.late_s = 0.0
        """How much later than others it gets what is published from now on."""

    def publish(self, room_id: str, wire: bytes) -> bool:
        return self.publish_but(room_id, wire, frozenset())

    def publish_but(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> bool:
        self._out.put(partial(self._arrive, room_id, wire, excluded))
        return True

    async def publish_when_free(self, room_id: str, wire: bytes, excluded: frozenset[str] = frozenset()) -> None:
        self.publish_but(room_id, wire, excluded)

    def _arrive(self, room_id: str, wire: bytes, excluded: frozenset[str]) -> None:
        if not self._host.is_dead:
            self._network.streams.publish(room_id, wire, excluded)

    def join(self, room_id: str, joined: Callable[[], None]) -> None:
        join = self._joins[room_id] = object()
        self._out.put(partial(self._subscribe, room_id, join, joined))

    def _subscribe(self, room_id: str, join: object, joined: Callable[[], None]) -> None:
        if self._joins.get(room_id) is not join:
            return
        streams = self._network.streams
        streams.subscribers.setdefault(room_id, {})[self] = partial(self._deliver_later, join)
        position = streams.sequence

        def is_joined() -> None:
            if self._joins.get(room_id) is join:
                self._seen[room_id] = position
                joined()

        self._in.put(is_joined)

    def _deliver_later(self, join: object, room_id: str, message: RoomMessage) -> None:
        self._in.put(partial(self._deliver, join, room_id, message), self.late_s)

    def _deliver(self, join: object, room_id: str, message: RoomMessage) -> None:
        if self._joins.get(room_id) is not join or self._host.is_dead:
            return
        shard = self._host.shard
        for wire in message.frames:
            if message.excluded:
                shard.deliver_but(room_id, wire, message.excluded)
            else:
                shard.deliver(room_id, wire)
        self._seen[room_id] = message.sequence

    def leave(self, room_id: str) -> None:
        del self._joins[room_id]
        self._network.streams.subscribers.get(room_id, {}).pop(self, None)

    def seen(self, room_id: str) -> int:
        return self._seen[room_id]

    async def reach(self, room_id: str, sequence: int) -> None:
        passed = asyncio.Event()
        self._in.put(passed.set, self.late_s)
        await passed.wait()
        if room_id in self._seen:
            self._seen[room_id] = max(self._seen[room_id], sequence)


class Asked(Protocol):
    async def ask(self, connection_id: str, message: Message, /, *, timeout_s: float | None) -> Any: ...


class Receiving(Protocol):
    def receive(self, message: Message) -> Any: ...


class Reached(Protocol):
    """A host, as gateways see it."""

    name: str
    is_dead: bool
    ends: list[Callable[[], None]]
    """Called when it dies."""
    tasks: TaskSet

    @property
    def entry(self) -> Asked:
        """Who asks the owner of an id there."""

    @property
    def dispatch(self) -> Receiving:
        """Its one shard."""


def tag_of(host: str) -> str:
    return f"{ord(host):012x}"


class PretendedGateway:
    """One host's `Gateway`."""

    def __init__(self, host: Reached, network: Network) -> None:
        self.host = host.name
        self.tag = tag_of(host.name)
        self._host = host
        self._network = network
        self._to_directory = Wire(network)
        self._to_hosts: dict[str, Wire] = {}
        self.others: dict[str, Reached] = {}
        self.is_cut_off: set[str] = set()
        """The hosts that it does not reach."""
        self.asked: list[tuple[str, Message]] = []
        self.drops: Callable[[Message], bool] = lambda _message: False
        """Which messages, though asked, never arrive."""

    def maker_of(self, connection_id: str) -> str | None:
        tag = tag_in(connection_id)
        return next((name for name in self._network.alive if tag == tag_of(name)), None)

    def is_alive(self, host: str) -> bool:
        return host in self._network.alive

    async def claim(self, connection_id: str, key: tuple[int, int]) -> Claimed | Taken:
        directory = self._network.directory
        return await directory.ask(self._to_directory, partial(directory.claim, connection_id, self.host, key))

    async def move(self, connection_id: str, key: tuple[int, int], revision: int) -> Claimed | Taken | None:
        directory = self._network.directory
        return await directory.ask(self._to_directory, partial(directory.move, connection_id, self.host, key, revision))

    def release(self, connection_id: str, revision: int) -> None:
        directory = self._network.directory
        self._to_directory.put(partial(directory.release, connection_id, revision))

    async def find(self, connection_id: str) -> Found | None:
        directory = self._network.directory
        return await directory.ask(self._to_directory, partial(directory.find, connection_id))

    async def ask(self, host: str, connection_id: str | None, message: Message, timeout_s: float | None) -> Any:
        self.asked.append((host, message))
        other = self.others.get(host)
        loop = self._network.loop
        answer = loop.create_future()
        if self._host.is_dead or other is None or other.is_dead or host in self.is_cut_off:
            raise ShardUnavailableError(f"host {host} is gone")
        data = _encode(message)
        assert connection_id is not None

        def arrive() -> None:
            if other.is_dead or self.drops(message):
                loop.call_later(0.5, settle, None, ShardUnavailableError(f"host {host} does not answer"))
            else:
                other.tasks.spawn(work())

        async def work() -> None:
            try:
                result = await other.entry.ask(connection_id, _decode_message(data), timeout_s=timeout_s)
            except Exception as error:
                loop.call_later(self._network.delay(), settle, None, error)
            else:
                if other.is_dead:
                    result = None
                sent = _encode(result)
                loop.call_later(self._network.delay(), settle, msgspec.msgpack.decode(sent), None)

        def settle(result: Any, error: Exception | None) -> None:
            if answer.done():
                return
            if other.is_dead:
                error = ShardUnavailableError(f"host {host} is gone")
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        other.ends.append(partial(settle, None, None))
        self._to_hosts.setdefault(host, Wire(self._network)).put(arrive)
        return await answer

    async def ask_host(self, host: str, message: Message, timeout_s: float) -> list[Any]:
        return [await self.ask(host, "", message, timeout_s)]

    async def ask_all(self, message: Message, timeout_s: float) -> list[Any]:
        found = []
        for other in self.others.values():
            if not other.is_dead:
                result = other.dispatch.receive(message)
                found.append(msgspec.msgpack.decode(_encode(result)))
        return found

    async def frames(self, room_id: str, after: int, upto: int) -> list[Missed]:
        streams = self._network.streams
        return await self._network.directory.ask(self._to_directory, partial(streams.frames, room_id, after, upto))

    def is_held(self) -> bool:
        return self.host in self._network.alive


class Host(Extension):
    """See the module. It notes the extension's calls."""

    def __init__(self, network: Network, name: str, number: int, options: ServerOptions, handlers: Handlers) -> None:
        self.name = name
        self.is_dead = False
        self.drawn = 0
        """How many ids it has made up."""
        self.calls: list[tuple[str, str]] = []
        self.ends: list[Callable[[], None]] = []
        """Called when it dies."""
        loop = network.loop
        self.shard = shard = Shard(
            index=0,
            incarnation=number,
            origin=1000 + number,
            options=options,
            handlers=handlers,
            loop=loop,
            real_time=loop.time,
        )
        shard.bus = self.bus = StreamBus(self, network)
        self.tasks = TaskSet()
        placement = Placement(1)
        refs: dict[int, ActorRef] = {0: LocalRef(self._receive)}
        self.owners = Owners(placement, refs)
        self.entry = Owners(placement, refs)
        """The gateway's."""
        self.gateway = PretendedGateway(self, network)
        self.dispatch = Dispatch(
            shard,
            siblings=cast("Any", None),
            statistics=cast("Any", None),
            extensions=self,
            tasks=self.tasks,
            former=FormerSlots(placement, 0),
            adopt=lambda _table: None,
            is_server_closing=lambda: shard.closing,
        )
        self.encode: Callable[[Frame], bytes] = shard.encode
        self.codec = options.codec
        self.cluster = self.dispatch.cluster = Cluster(
            shard,
            self.owners,
            self.gateway,
            self.bus,
            self,
            partial(RemoteConnection, self),
            lambda _connection_id: None,
            self.tasks.spawn_apart,
        )
        network.alive.add(name)

    def __repr__(self) -> str:
        return self.name

    def _receive(self, message: Message) -> Any:
        return self.dispatch.receive(message)

    # As a runtime, for remote connections.

    def decode(self, _opcode: int, payload: bytes) -> Frame:
        return self.codec.decode(payload)

    async def ask_owner(self, connection_id: str, message: Message, timeout_s: float | None = 5.0) -> Any:
        return await self.owners.ask(connection_id, message, timeout_s=timeout_s)

    def tell_owner(self, connection_id: str, message: Message) -> None:
        self.owners.tell(connection_id, message)

    def remote(self, record: ConnectionRecord) -> RemoteConnection:
        return RemoteConnection(self, record)

    # As an extension.

    def halted(self, connection: Any) -> None:
        self.calls.append(("halted", connection.id))

    def returned(self, connection: Any) -> None:
        self.calls.append(("returned", connection.id))

    def departed(self, connection: Any) -> None:
        self.calls.append(("departed", connection.id))

    def arrived(self, connection: Any) -> None:
        self.calls.append(("arrived", connection.id))

    # Its end.

    def dies(self) -> None:
        """By no will of its own: nothing of it has an effect from here on."""
        self.is_dead = True
        shard = self.shard
        shard._ticker.stop()
        shard.aborting = True
        shard.halting = Aborting()
        for task in [*shard.working.values(), *self.tasks._tasks]:
            # One that has not begun would warn that nobody awaited its handler.
            shard.loop.call_soon(_soon, task)
        for end in self.ends:
            end()
