"""`ControlPlane`: puts together all that the supervisor has for those who steer it from outside, as one part of its start
order.

Created by the supervisor, which tells it what happens to workers. It opens the two sockets at their endpoints, and starts
and stops the control server, the events, the links to the shards and, for `--app bridge`, the bridge. It reads no request.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import zmq

from wspulse.actors.mesh.lifecycle import Events, EventsMark, EventsTaken, SeatGone, SeatOpened, SlotTable, WatchEvents
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import DESK_SHARD, Message, UpgradeRequest
from wspulse.actors.mesh.placing.owners import Elsewhere
from wspulse.supervisor.control.bridge.service import BridgeService
from wspulse.supervisor.control.client_gate import ClientGate
from wspulse.supervisor.control.doorman import Doorman
from wspulse.supervisor.control.endpoint import (
    IPC,
    ControlEndpoint,
    bind_private,
    claim_endpoint,
    is_taken,
    remove_stale,
)
from wspulse.supervisor.control.event_publisher import EventPublisher
from wspulse.supervisor.control.operations import Operations, OtherHosts, Supervised
from wspulse.supervisor.control.server import ControlServer
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.moving.turn import Moved
from wspulse.supervisor.premises.mailbox_listeners import MailboxListeners
from wspulse.supervisor.premises.runtime_dir import RuntimeDir
from wspulse.supervisor.premises.upkeep import KeptFiles
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.process.started_parts import StartedParts
from wspulse.supervisor.process.watching.silence import SILENT_S
from wspulse.supervisor.protocol.address import Address
from wspulse.supervisor.protocol.curve import KeyFileError, KeyPair, load_allowed, load_pair
from wspulse.supervisor.settings.layers import Settings

__all__ = ["ControlPlane", "load_keys"]

_logger = logging.getLogger("wspulse.supervisor")

BRIDGE = "bridge"
"""The application that lives outside."""


class EventsElsewhere(Protocol):
    """The events of the other hosts."""

    wanted_elsewhere: tuple[bytes, ...]
    changed: Callable[[], None]
    take: Callable[[Events], None]

    def want(self, prefixes: Sequence[bytes]) -> None: ...
    def give(self, events: Sequence[tuple[bytes, bytes]], dropped_events: int = 0) -> None: ...


class Hosts(OtherHosts, Protocol):
    """The other hosts of a cluster, and the way to them."""

    host: str
    """The name of this one."""

    @property
    def events(self) -> EventsElsewhere: ...

    @property
    def elsewhere(self) -> Elsewhere:
        """Where an id is that nobody has here."""

    def open(self) -> None: ...
    def close(self) -> None: ...


class ControlPlane:
    """See the module. `endpoint` is where the control socket is, from `start` on."""

    def __init__(
        self,
        settings: Settings,
        supervised: Supervised,
        runtime_dir: RuntimeDir,
        mailbox_paths: Mapping[int, str],
        others: Hosts | None = None,
    ) -> None:
        """`mailbox_paths` has, by seat, where the workers that are to be started are reached. `others` are there where the server
        spans several hosts."""
        self._others = others
        self._settings = settings
        self._supervised = supervised
        self._runtime_dir = runtime_dir
        self._mailbox_paths = mailbox_paths
        self._started = StartedParts()
        self._replacing: set[int] = set()
        self._pids: dict[int, int] = {}
        """By seat, of the latest worker there."""
        self._bridge: BridgeService | None = None
        self._gate: ClientGate | None = None
        self._doorman = Doorman()
        self.kept: list[KeptFiles] = []
        """What is to be looked after, from `start` on."""
        self.endpoint = ""
        self.desk_path = ""
        """Where workers reach the bridge desk, if there is one."""

    def start(self) -> None:
        """Raises StartError; what was started by then ends with `stop`."""
        settings = self._settings
        keys = load_keys(settings)
        claimed = claim_endpoint(self._place(), self._runtime_dir, has_keys=keys is not None)
        self._started.add("endpoint", claimed.release)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # Not `term`, which would wait for ever for a socket that could not be closed.
        self._started.add("context", context.destroy)
        gate = None
        if keys is not None:
            self._gate = gate = ClientGate(context, *keys, self._doorman.key_unknown)
            self._started.add("gate", gate.close)
        self._links = ShardLinks(len(self._mailbox_paths), self._seats, self._is_silent)
        for seat, path in self._mailbox_paths.items():
            self._links.hear(SeatOpened(seat, path))
        self._started.add("links", self._links.close)
        if self._others is not None:
            self._links.look_elsewhere(self._others.elsewhere)
            self._others.open()
            self._started.add("other hosts", self._others.close)
        self._start_events(context, claimed, gate)
        self._start_server(context, claimed, gate)
        restore = partial(self._bind_again, claimed)
        locks = () if claimed.lock_path is None else (str(claimed.lock_path),)
        self.kept.append(KeptFiles("control socket", claimed.paths, restore, locks=locks))
        self._links.open()

    def _place(self) -> str | None:
        """Where the setting says; a server that `--port 0` starts beside the one that has that address takes one of its own."""
        control = self._settings.control
        if control is None or not self._settings.yields("control") or not is_taken(control):
            return control
        _logger.warning("another server has the control address; this one uses its own", extra={"taken": control})
        return None

    async def stop(self) -> None:
        """Stop what was started, in reverse. Raises ExceptionGroup, after all, of what failed."""
        if failures := await self._started.stop():
            raise ExceptionGroup("parts of the control plane did not stop", [failure.error for failure in failures])

    def own_address(self) -> Address:
        """Where a process of this server reaches the control socket, with keys of its own where it wants some."""
        endpoint = self.endpoint
        for anywhere, here in (("tcp://0.0.0.0:", "tcp://127.0.0.1:"), ("tcp://[::]:", "tcp://[::1]:")):
            endpoint = endpoint.replace(anywhere, here)
        return Address(endpoint) if self._gate is None else Address(endpoint, *self._gate.admit())

    # What the supervisor tells.

    def hear(self, message: Message) -> None:
        """What all workers are told."""
        if isinstance(message, SeatOpened | SeatGone | SlotTable):
            self._links.hear(message)

    def worker_started(self, child: Child) -> None:
        assert child.pid is not None
        if prefixes := self._wanted(self.events.prefixes):
            child.tell(WatchEvents(prefixes))
        self._pids[child.seat] = child.pid
        self._publish("started", child)

    def worker_ready(self, child: Child) -> None:
        self._publish("ready", child)
        if child.seat in self._replacing:
            self._replacing.discard(child.seat)
            self._publish("restarted", child)

    def worker_down(self, child: Child) -> None:
        if self._bridge is not None:
            self._bridge.shard_down(child.seat)
        if not child.ends_by_order:
            self._publish("died", child)
        elif child.is_permanent and not self._supervised.is_ending:
            self._replacing.add(child.seat)

    def worker_moving(self, child: Child, result: Moved, *, is_over: bool) -> None:
        """Its sessions begin to move elsewhere, or no more do."""
        fields = {"moved": result.moved, "drained": result.drained} if is_over else {}
        self._publish("moving", child, is_over=is_over, **fields)

    def worker_replaced(self, child: Child) -> None:
        """It has taken another one's place."""
        self._publish("restarted", child)

    def take_events(self, child: Child, message: Events | EventsMark) -> None:
        if isinstance(message, EventsMark):
            child.tell(EventsTaken(message.number))  # all that lay ahead of it is published
            return
        self._take(message)
        if self._others is not None:
            self._others.events.give(message.events, message.dropped_events)

    def _take(self, message: Events) -> None:
        """Of a worker, or of another host."""
        if message.dropped_events:
            self.events.skip(message.dropped_events)
        for topic, event in message.events:
            self.events.publish(topic, event)

    # Parts.

    def _start_events(
        self, context: zmq.Context[zmq.Socket[bytes]], claimed: ControlEndpoint, gate: ClientGate | None
    ) -> None:
        publisher = self._publisher = _open_socket(context, zmq.XPUB, claimed.events, gate)
        EventPublisher.prepare(publisher)
        self._started.add("event socket", lambda: publisher.close(0))
        self._watch_refusals(publisher, gate)
        self.events = EventPublisher(publisher, bind_private(publisher, claimed.events), self._watch)
        self._started.add("events", self.events.close)
        if self._others is not None:
            self._others.events.take = self._take
            self._others.events.changed = lambda: self._watch(self.events.prefixes)
        self.events.open()

    def _start_server(
        self, context: zmq.Context[zmq.Socket[bytes]], claimed: ControlEndpoint, gate: ClientGate | None
    ) -> None:
        operations = self._operations = Operations(
            self._supervised, self._links, self.events, lambda: self._doorman.refused, self._others
        )
        router = self._router = _open_socket(context, zmq.ROUTER, claimed.control, gate)
        server = self._server = ControlServer(router, operations)
        self._started.add("server", server.close)
        self._watch_refusals(router, gate)
        self.endpoint = bind_private(router, claimed.control)
        if self._settings.app == BRIDGE:
            self._start_bridge(server)
        server.open()

    def _start_bridge(self, server: ControlServer) -> None:
        bridge = self._bridge = server.peer_operations = BridgeService(server.send, server.is_backlogged)
        self._started.add("bridge", bridge.close)
        self.desk_path = self._runtime_dir.socket_path("bridge")
        listeners = MailboxListeners("bridge", lambda _seat, listener: _move(mailbox, listener))
        self._started.add("listener", listeners.close)
        listeners.open(DESK_SHARD, self.desk_path)
        mailbox = Mailbox(listeners.listeners[DESK_SHARD].dup(), DESK_SHARD, 1, bridge.receive, _no_upgrades)
        self._started.add("mailbox", mailbox.close)
        mailbox.open()
        self.kept.append(listeners.kept)

    def _bind_again(self, claimed: ControlEndpoint, missing: Sequence[str]) -> None:
        """The sockets stay open, and who is connected connected: each gets its address once more. Raises StartError."""
        claimed.restore()
        for bound, endpoint, tell in (
            (self._router, claimed.control, self._server.bound_again),
            (self._publisher, claimed.events, self.events.bound_again),
        ):
            path = endpoint.removeprefix(IPC)
            if path in missing:
                remove_stale(Path(path))  # ZeroMQ would remove whatever is there
                bind_private(bound, endpoint)
                tell()

    def _watch_refusals(self, guarded: zmq.Socket[bytes], gate: ClientGate | None) -> None:
        # Behind the part that closes the socket: it stops before.
        self._doorman.watch(guarded, has_keys=gate is not None)
        self._started.add("doorman", self._doorman.close)

    def _watch(self, prefixes: list[bytes]) -> None:
        if self._others is not None:
            self._others.events.want(prefixes)
        for child in self._supervised.everybody():
            child.tell(WatchEvents(self._wanted(prefixes)))

    def _wanted(self, here: list[bytes]) -> list[bytes]:
        """With what other hosts want."""
        return here if self._others is None else sorted({*here, *self._others.events.wanted_elsewhere})

    def _seats(self) -> list[int]:
        return [child.seat for child in self._supervised.children] or list(self._mailbox_paths)

    def _is_silent(self, seat: int) -> bool:
        return any(child.seat == seat and child.silence_s >= SILENT_S for child in self._supervised.everybody())

    def _publish(self, kind: str, child: Child, **fields: object) -> None:
        told = {"shard": child.shard, "pid": self._pids.get(child.seat), **fields}
        if self._others is None:
            self.events.publish_own(f"worker.{kind}", told)
        else:
            event = self.events.publish_own(f"worker.{kind}", {**told, "host": self._others.host})
            self._others.events.give([event])


def load_keys(settings: Settings) -> tuple[KeyPair, frozenset[bytes]] | None:
    """The server's CURVE keys and the clients' that may control it; None without. Raises SettingError."""
    server_key, client_keys = settings.control_server_key, settings.control_client_keys
    if server_key is None and client_keys is None:
        return None
    if server_key is None or client_keys is None:
        missing = "--control-server-key" if server_key is None else "--control-client-keys"
        raise SettingError(missing, "is missing: CURVE needs both the server's key pair and the clients' public keys")
    source = "--control-server-key"
    try:
        pair = load_pair(Path(server_key))
        source = "--control-client-keys"
        return pair, load_allowed(Path(client_keys))
    except KeyFileError as error:
        raise SettingError(source, str(error)) from None


def _open_socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, gate: ClientGate | None
) -> zmq.Socket[bytes]:
    try:
        opened = context.socket(kind)
    except zmq.ZMQError as error:
        raise StartError(f"the control socket {endpoint} cannot be created: {error.strerror}") from None
    if endpoint.startswith("tcp://["):
        opened.setsockopt(zmq.IPV6, 1)
    if gate is not None:
        gate.guard(opened)
    return opened


def _move(mailbox: Mailbox, listener: socket.socket) -> bool:
    mailbox.move(listener.dup())
    return True


def _no_upgrades(_upgrade: UpgradeRequest, fd: int) -> None:
    """Nobody hands a socket to the desk."""
    os.close(fd)
