"""`ControlPlane`: puts together all that the supervisor has for those who steer it from outside, as one part of its start
order.

Created by the supervisor, which tells it what happens to workers. It opens the two sockets at their endpoints, and starts
and stops the control server, the events, the links to the shards and, for `--app bridge`, the bridge. It reads no request.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import zmq

from wspulse.actors.mesh.lifecycle import Events, EventsMark, EventsTaken, WatchEvents
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import DESK_SHARD, UpgradeRequest
from wspulse.supervisor.control.bridge.service import BridgeService
from wspulse.supervisor.control.client_gate import ClientGate
from wspulse.supervisor.control.doorman import Doorman
from wspulse.supervisor.control.endpoint import IPC, ControlEndpoint, bind_private, claim_endpoint, remove_stale
from wspulse.supervisor.control.event_publisher import EventPublisher
from wspulse.supervisor.control.operations import Operations, Supervised
from wspulse.supervisor.control.server import ControlServer
from wspulse.supervisor.control.shard_links import ShardLinks
from wspulse.supervisor.errors import SettingError, StartError
from wspulse.supervisor.premises.mailbox_listeners import MailboxListeners
from wspulse.supervisor.premises.runtime_dir import RuntimeDir
from wspulse.supervisor.premises.upkeep import KeptFiles
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.process.started_parts import StartedParts
from wspulse.supervisor.process.watching.silence import SILENT_S
from wspulse.supervisor.protocol.curve import KeyFileError, KeyPair, load_allowed, load_pair
from wspulse.supervisor.protocol.wire import NoArguments
from wspulse.supervisor.settings.layers import Settings

__all__ = ["ControlPlane"]

BRIDGE = "bridge"
"""The application that lives outside."""


class ControlPlane:
    """See the module. `endpoint` is where the control socket is, from `start` on."""

    def __init__(
        self, settings: Settings, supervised: Supervised, runtime_dir: RuntimeDir, mailbox_paths: Sequence[str]
    ) -> None:
        self._settings = settings
        self._supervised = supervised
        self._runtime_dir = runtime_dir
        self._mailbox_paths = mailbox_paths
        self._started = StartedParts()
        self._replacing: set[int] = set()
        self._pids: dict[int, int] = {}
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
        keys = self._load_keys()
        claimed = claim_endpoint(settings.control, self._runtime_dir, has_keys=keys is not None)
        self._started.add("endpoint", claimed.release)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # Not `term`, which would wait for ever for a socket that could not be closed.
        self._started.add("context", context.destroy)
        gate = None
        if keys is not None:
            self._gate = gate = ClientGate(context, *keys, self._doorman.key_unknown)
            self._started.add("gate", gate.close)
        self._links = ShardLinks(self._mailbox_paths, self._is_silent)
        self._started.add("links", self._links.close)
        self._start_events(context, claimed, gate)
        self._start_server(context, claimed, gate)
        restore = partial(self._bind_again, claimed)
        locks = () if claimed.lock_path is None else (str(claimed.lock_path),)
        self.kept.append(KeptFiles("control socket", claimed.paths, restore, locks=locks))
        self._links.open()

    async def stop(self) -> None:
        """Stop what was started, in reverse. Raises ExceptionGroup, after all, of what failed."""
        if failures := await self._started.stop():
            raise ExceptionGroup("parts of the control plane did not stop", [failure.error for failure in failures])

    async def reload(self) -> None:
        """What the operation does; of reloads that were asked for here and there one comes after the other."""
        await self._operations.reload(NoArguments(), "msgpack")

    # What the supervisor tells.

    def worker_started(self, child: Child) -> None:
        assert child.pid is not None
        if prefixes := self.events.prefixes:
            child.tell(WatchEvents(prefixes))
        self._pids[child.shard] = child.pid
        self._publish("started", child.shard)

    def worker_ready(self, child: Child) -> None:
        self._publish("ready", child.shard)
        if child.shard in self._replacing:
            self._replacing.discard(child.shard)
            self._publish("restarted", child.shard)

    def worker_down(self, child: Child) -> None:
        if self._bridge is not None:
            self._bridge.shard_down(child.shard)
        if not child.ends_by_order:
            self._publish("died", child.shard)
        elif not self._supervised.is_ending:
            self._replacing.add(child.shard)

    def take_events(self, child: Child, message: Events | EventsMark) -> None:
        if isinstance(message, EventsMark):
            child.tell(EventsTaken(message.number))  # all that lay ahead of it is published
            return
        if message.dropped_events:
            self.events.skip(message.dropped_events)
        for topic, event in message.events:
            self.events.publish(topic, event)

    # Parts.

    def _load_keys(self) -> tuple[KeyPair, frozenset[bytes]] | None:
        server_key, client_keys = self._settings.control_server_key, self._settings.control_client_keys
        if server_key is None and client_keys is None:
            return None
        if server_key is None or client_keys is None:
            missing = "--control-server-key" if server_key is None else "--control-client-keys"
            raise SettingError(missing, "is missing: CURVE needs the server's key pair and the clients' public keys")
        source = "--control-server-key"
        try:
            pair = load_pair(Path(server_key))
            source = "--control-client-keys"
            return pair, load_allowed(Path(client_keys))
        except KeyFileError as error:
            raise SettingError(source, str(error)) from None

    def _start_events(
        self, context: zmq.Context[zmq.Socket[bytes]], claimed: ControlEndpoint, gate: ClientGate | None
    ) -> None:
        publisher = self._publisher = _open_socket(context, zmq.XPUB, claimed.events, gate)
        EventPublisher.prepare(publisher)
        self._started.add("event socket", lambda: publisher.close(0))
        self._watch_refusals(publisher, gate)
        self.events = EventPublisher(publisher, bind_private(publisher, claimed.events), self._watch)
        self._started.add("events", self.events.close)
        self.events.open()

    def _start_server(
        self, context: zmq.Context[zmq.Socket[bytes]], claimed: ControlEndpoint, gate: ClientGate | None
    ) -> None:
        operations = self._operations = Operations(
            self._supervised, self._links, self.events, lambda: self._doorman.refused
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
        listeners = MailboxListeners([self.desk_path], lambda _shard, listener: _move(mailbox, listener))
        self._started.add("listener", listeners.close)
        listeners.open()
        mailbox = Mailbox(listeners.listeners[0].dup(), DESK_SHARD, 1, bridge.receive, _no_upgrades)
        self._started.add("mailbox", mailbox.close)
        mailbox.open()
        self.kept.append(KeptFiles("bridge", listeners.paths, listeners.restore))

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
        for child in self._supervised.children:
            child.tell(WatchEvents(prefixes))

    def _is_silent(self, shard: int) -> bool:
        children = self._supervised.children
        return shard < len(children) and children[shard].silence_s >= SILENT_S

    def _publish(self, kind: str, shard: int) -> None:
        self.events.publish_own(f"worker.{kind}", {"shard": shard, "pid": self._pids[shard]})


def _open_socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, gate: ClientGate | None
) -> zmq.Socket[bytes]:
    try:
        opened = context.socket(kind)
    except zmq.ZMQError as error:
        raise StartError(f"the control socket {endpoint} cannot be made: {error.strerror}") from None
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
