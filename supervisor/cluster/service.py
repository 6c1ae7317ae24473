"""`ClusterService`: the cluster as a part of the server: its gateway, and what the server is told of it.

Made by the supervisor. The gateway outlives every reload; one that dies is started again, and what had not left it is sent once
more by whoever has it. Without `--cluster` there is none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.mesh.lifecycle import (
    Events,
    Exit,
    GatewayRefused,
    GatewayState,
    HostLoad,
    HostOptions,
    HostsChanged,
    LeaseChanged,
    LivingHosts,
    SeatGone,
    SeatOpened,
    ShardDown,
    ShardUp,
    SlotTable,
)
from wspulse.actors.mesh.message import Envelope, Message, Tell
from wspulse.actors.mesh.stream import Stream
from wspulse.supervisor.cluster.agreement import COMMON
from wspulse.supervisor.cluster.events.shared import SharedEvents
from wspulse.supervisor.cluster.hosts.records import HostInfo
from wspulse.supervisor.cluster.main import main
from wspulse.supervisor.cluster.needs import check_installed
from wspulse.supervisor.cluster.spec import GatewaySpec
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.host.installed import installed_version
from wspulse.supervisor.host.shared_file import SharedFile
from wspulse.supervisor.premises.listeners.listen_socket import open_mailbox_listener
from wspulse.supervisor.premises.upkeep import KeptFiles
from wspulse.supervisor.process.companions.companion import Companion
from wspulse.supervisor.process.companions.presence import Presence
from wspulse.supervisor.process.companions.process import CompanionProcess
from wspulse.supervisor.process.companions.watch import CompanionWatch
from wspulse.supervisor.process.seating import Seating
from wspulse.supervisor.settings.layers import Settings

if TYPE_CHECKING:
    from wspulse.supervisor.cluster.others import Others

__all__ = ["NATS_AWAY", "NO_GATEWAY", "NO_LEASE", "ClusterService"]

NO_GATEWAY: Final = "the gateway to the other hosts is not running"
NO_LEASE: Final = "this host is no longer a member of its cluster"
NATS_AWAY: Final = "the cluster's NATS servers cannot be reached"

STOP_S = 2.0
"""For what the workers have published at their end."""

LOOK_S = 1.0

_RANDOM = (1 << 53) - 1

_logger = logging.getLogger("wspulse.supervisor")


class ClusterService:
    """See the module. `connections()` is how many this host has now, and `tell_workers` tells all of them; the others are
    those of `Presence`. `kept` are the files that it needs."""

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str, bool], None],
        on_up: Callable[[], None],
        on_failed: Callable[[str], None],
        connections: Callable[[], int],
        tell_workers: Callable[[Message], None],
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._on_up = on_up
        self._on_failed = on_failed
        self._connections = connections
        self._tell_workers = tell_workers
        self._presence = Presence(NO_GATEWAY, tell, self._up, on_failed)
        self._companion = Companion("gateway", self._launch, self._presence.failed)
        self._gateway: _Gateway | None = None
        """The one that was started last."""
        self._is_away = False
        self._losses = 0
        self.endpoints: tuple[str, str] | None = None
        """Of the gateway's bus, for pushing and subscribing; None without one."""
        self.seating: Seating | None = None
        """Of the workers, from their start on."""
        self._positions_path = Path()
        self._gateway_path = ""
        self._mailbox: socket.socket | None = None
        self._lease = SharedFile()
        self._lease.clear(0, PAGESIZE)
        self._me: HostInfo | None = None
        self._hosts: list[HostInfo] = []
        """All that are alive, as the gateway said last."""
        self._shards: dict[int, int] = {}
        """Our own workers that are up: seat → incarnation."""
        self._events = SharedEvents(self._tell_load, self._tell_gateway)
        self._looks: asyncio.TimerHandle | None = None
        self.kept: list[KeptFiles] = []

    @property
    def is_wanted(self) -> bool:
        return self._settings.cluster is not None

    @property
    def is_up(self) -> bool:
        """Whether the other hosts can be reached, or could be once: also where there are none."""
        return self._presence.are_up

    def introduce(self, address: str, port: int) -> None:
        """This host is there: where clients connect, and its port."""
        self._me = HostInfo(
            self._settings.host_id or f"{socket.gethostname()}:{port}",
            secrets.randbelow(_RANDOM) + 1,
            self._settings.workers,
            time.time(),
            address,
            COMMON,
            installed_version("wspulse") or "",
        )
        self._hosts = [self._me]

    def start(self, socket_path: Callable[[str], str]) -> tuple[str, str]:
        """Start the gateway. `socket_path(name)` is where a socket is to be. Returns the endpoints of its bus for pushing and
        subscribing. Raises StartError."""
        check_installed(has_credentials=self._settings.cluster_credentials is not None)
        self._paths = socket_path("bus-push"), socket_path("bus-publish")
        self._positions_path = Path(self._paths[0]).with_name("positions")
        self._gateway_path = socket_path("gateway")
        try:
            self._mailbox = open_mailbox_listener(self._gateway_path)
        except OSError as error:
            raise StartError(f"the way to the gateway cannot be opened: {error.strerror}") from None
        self.kept.append(KeptFiles("way to the gateway", [self._gateway_path], _tell_missing))
        self._forget_positions()  # those of an earlier server mean nothing to our workers
        self._presence.want(1)
        self._tell(NO_GATEWAY, True)
        self._companion.start()
        self._look()
        self.endpoints = f"ipc://{self._paths[0]}", f"ipc://{self._paths[1]}"
        return self.endpoints

    def seat(self) -> tuple[ClusterSeat, SharedFile]:
        """What a worker that is about to be started is told, and the file of the host's lease."""
        assert self._me is not None
        me, origin = self._me, secrets.randbelow(_RANDOM) + 1
        tags, shards = tuple(self._tags()), tuple(self._shards_elsewhere())
        return ClusterSeat(origin, me.id, _tag(me), tags, shards, self._gateway_path), self._lease

    def _tags(self) -> Iterator[tuple[str, str]]:
        return ((_tag(host), host.id) for host in self._hosts)

    def _shards_elsewhere(self) -> Iterator[tuple[str, int, int]]:
        me = self._me and self._me.id
        return ((_tag(host), *shard) for host in self._hosts if host.id != me for shard in host.shards)

    def others(self) -> Others | None:
        """The other hosts, for the control socket; None without a cluster. From `start` on."""
        if not self.is_wanted or self._me is None:
            return None
        from wspulse.supervisor.cluster.others import Others

        return Others(self._me.id, self._gateway_path, self._lease, self._events, lambda: self._losses)

    def hear(self, message: Message) -> None:
        """What workers are told: the gateway is to know where they are, and whose the connection ids are; and the other hosts,
        which of them are up."""
        match message:
            case ShardUp():
                self._shards[message.shard] = message.incarnation
            case ShardDown() if self._shards.get(message.shard) == message.incarnation:
                del self._shards[message.shard]
            case SeatOpened() | SeatGone() | SlotTable():
                self._tell_gateway(message)
                return
            case _:
                return
        self._tell_load()

    def _workers(self) -> int:
        return self._settings.workers if self.seating is None else self.seating.workers

    def _load(self) -> HostLoad:
        return HostLoad(
            self._connections(), self._workers(), sorted(self._shards.items()), list(self._events.wanted_here)
        )

    def _tell_load(self) -> None:
        self._tell_gateway(self._load())

    def _tell_gateway(self, message: Message) -> None:
        if self._gateway is not None:
            self._gateway.stream.send(Tell(message))

    def describe(self, message: HostOptions) -> None:
        """A worker that is ready says what the application is set to."""
        if self._me is not None:
            self._me = msgspec.structs.replace(self._me, options=message.options)
        if self._gateway is not None:
            self._gateway.stream.send(Tell(message))

    def listed(self) -> list[dict[str, Any]]:
        """The hosts that are alive, by id, as the control socket tells of them."""
        return [
            {
                "id": host.id,
                "address": host.address,
                "workers": self._workers() if host.id == own else host.workers,
                "connections": self._connections() if host.id == own else host.connections,
                "since": host.started_at,
                "state": "this" if host.id == own else "up",
            }
            for own in [self._me and self._me.id]
            for host in sorted(self._hosts, key=lambda host: host.id)
        ]

    async def stop(self) -> None:
        """The workers have ended."""
        if self._looks is not None:
            self._looks.cancel()
        self._presence.end()
        await self._companion.stop(STOP_S)
        if self._gateway is not None:
            self._gateway.stream.close()
        if self._mailbox is not None:
            self._mailbox.close()
            self._forget_positions()
        self._lease.close()

    def _forget_positions(self) -> None:
        self._positions_path.unlink(missing_ok=True)

    def _look(self) -> None:
        self._looks = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        gateway = self._gateway
        self._tell_load()
        if gateway is not None and gateway.is_running and gateway.watch is not None and gateway.watch.look(monotonic()):
            gateway.kill()

    def _launch(self, on_exit: Callable[[int], None]) -> _Gateway:
        ours, theirs = socket.socketpair()
        settings = self._settings
        gateway = _Gateway(ours, self._hear)

        def ended(code: int) -> None:
            gateway.stream.close()
            self._presence.down(0)
            on_exit(code)

        with theirs:
            assert self._mailbox is not None
            assert self._me is not None
            assert self.seating is not None
            push_path, subscribe_path = self._paths
            spec = GatewaySpec(
                urls=tuple(settings.cluster or ()),
                cluster=settings.cluster_name,
                replicas=settings.cluster_replicas,
                credentials=settings.cluster_credentials,
                timeout_s=settings.cluster_timeout,
                # Once the server was ready, it is for others to bring NATS back.
                waits=settings.cluster_wait or self._presence.are_up,
                push_path=push_path,
                subscribe_path=subscribe_path,
                positions_path=str(self._positions_path),
                host=msgspec.structs.replace(
                    self._me,
                    workers=self._workers(),
                    shards=tuple(sorted(self._shards.items())),
                    wanted=self._events.wanted_here,
                ),
                lease=self._lease,
                mailbox=self._mailbox,
                seats=dict(self.seating.paths),
                table=self.seating.table,
                channel=theirs,
                log_level=settings.log_level,
                log_format=settings.log_format,
            )
            try:
                gateway.process = process = CompanionProcess("gateway", main, (spec,), ended)
            except BaseException:
                gateway.stream.close()
                raise
        gateway.watch = CompanionWatch(
            "gateway", "gateway", 0, process.pid, self._presence, settings.stall_timeout, process.started_at
        )
        self._gateway = gateway
        return gateway

    def _hear(self, gateway: _Gateway, message: object) -> None:
        match message:
            case GatewayState():
                if gateway.watch is not None and (message.is_up or self._presence.are_up):
                    gateway.watch.heard(monotonic())
                    self._note_away(not message.is_up)
                self._losses += message.lost
            case LeaseChanged():
                self._tell(NO_LEASE, not message.is_held)
            case HostsChanged():
                self._hosts = [msgspec.convert(each, HostInfo) for each in message.hosts]
                me = self._me and self._me.id
                self._events.heed(host.wanted for host in self._hosts if host.id != me)
                self._tell_workers(LivingHosts(list(self._tags()), list(self._shards_elsewhere())))
            case Events():
                self._events.take(message)
            case GatewayRefused():
                if not self._presence.are_up:
                    self._on_failed(message.text)
                elif gateway.is_running:
                    _logger.error(
                        "this host is not in its cluster any more; it tries to join it again",
                        extra={"reason": message.text},
                    )
                    gateway.watch = None  # what it still says is void
                    self._presence.down(0)
                    gateway.terminate()
                    asyncio.get_running_loop().call_later(STOP_S, gateway.kill)

    def _up(self) -> None:
        """For the first time."""
        self._tell(NO_GATEWAY, False)
        self._on_up()

    def _note_away(self, is_away: bool) -> None:
        if is_away != self._is_away and self._presence.are_up:
            self._is_away = is_away
            self._tell(NATS_AWAY, is_away)


class _Gateway:
    """One that was started. It is told to end over its channel: SIGTERM may come from anybody, to all processes of a server."""

    def __init__(self, channel: socket.socket, hear: Callable[[_Gateway, object], None]) -> None:
        self._hear = hear
        self.stream = Stream(channel, self._on_envelope, _nothing)
        self.process: CompanionProcess | None = None
        self.watch: CompanionWatch | None = None

    @property
    def started_at(self) -> float:
        return 0.0 if self.process is None else self.process.started_at

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.is_running

    def terminate(self) -> None:
        self.stream.send(Tell(Exit()))
        self.stream.flush()

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()

    def _on_envelope(self, envelope: Envelope, _fd: int | None) -> None:
        if isinstance(envelope, Tell):
            self._hear(self, envelope.message)


def _tag(host: HostInfo) -> str:
    """With which the ids begin that a host makes up: 48 bits of its life, in hexadecimal digits."""
    return f"{host.life & 0xFFFFFFFFFFFF:012x}"


def _tell_missing(_missing: object) -> None:
    raise StartError("the socket of the gateway was removed; restart the server to create it again")


def _nothing() -> None:
    """The channel's end says nothing that the process's end does not."""
