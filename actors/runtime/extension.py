"""`Extension`: what an application that ships brings to its server besides callbacks: pages, presence, who may resume.

Made by the application for one server and given to it at declaration; the runtime that serves the server calls its hooks,
through the `Extensions` of all of them. It is not meant for users, who have callbacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wspulse.actors.cluster.cluster import Cluster
from wspulse.actors.mesh.actor import ActorRef
from wspulse.actors.mesh.message import PresenceReport, WatchRoom
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.wire.handshake import Pages

__all__ = ["Extended", "Extension", "Extensions"]


class Extended(Protocol):
    """What an extension sees of the runtime that serves its server."""

    shard: Shard
    workers: int
    refs: dict[int, ActorRef]
    """Every shard of this host, this one included; those of other processes may be away."""
    cluster: Cluster | None
    """There where there are other hosts: the ways to their shards are its `far`."""


class Extension:
    """The hooks, each of which does nothing here. They run in the worker's loop, neither wait nor raise."""

    def pages(self, websocket_path: str) -> Pages:
        """What is answered to a GET, by path, beside the WebSocket. Asked for when a shard is made."""
        return {}

    def may_resume(self, connection: Connection) -> bool:
        """Whether a session whose transport was lost has the resume window. It has none where one extension says no."""
        return True

    def open(self, runtime: Extended) -> None:
        """The shard starts: before on_start and before anybody connects."""

    def close(self) -> None:
        """The shard ends, and with it all that was begun: behind on_stop, before the ways to other shards are closed."""

    def halted(self, connection: Connection) -> None:
        """A session is to move, and waits for that callback of it which runs: its socket is not read, and no other begins. What a
        callback only waits for may be left to itself, so that it ends. `departed`, `returned` or its end comes next."""

    def returned(self, connection: Connection) -> None:
        """A session that was to move stays."""

    def departed(self, connection: Connection) -> None:
        """A session has left for another process, with its socket: in the step in which it leaves the tables for good. No
        on_disconnect runs for it here."""

    def arrived(self, connection: Connection) -> None:
        """A session has come from another process: in the step in which it stands in the tables, before any of its callbacks.
        No on_connect runs for it here. To hear it again of a session that never left, since its move failed, changes nothing."""

    def receive(self, message: WatchRoom | PresenceReport) -> None:
        """The extension's counterpart on another shard tells something."""

    def shard_up(self, shard: int, incarnation: int) -> None:
        """Another shard, of this host or another one, can be told something from now on; what was told before may be lost."""

    def shard_down(self, shard: int, incarnation: int) -> None:
        """Another shard is gone, and its sessions with it."""


class Extensions(Extension):
    """All of one server, in the order in which they were given."""

    def __init__(self, extensions: Sequence[Extension]) -> None:
        self._extensions = extensions

    def pages(self, websocket_path: str) -> Pages:
        return {path: page for each in self._extensions for path, page in each.pages(websocket_path).items()}

    def may_resume(self, connection: Connection) -> bool:
        return all(each.may_resume(connection) for each in self._extensions)

    def open(self, runtime: Extended) -> None:
        for each in self._extensions:
            each.open(runtime)

    def close(self) -> None:
        for each in self._extensions:
            each.close()

    def halted(self, connection: Connection) -> None:
        for each in self._extensions:
            each.halted(connection)

    def returned(self, connection: Connection) -> None:
        for each in self._extensions:
            each.returned(connection)

    def departed(self, connection: Connection) -> None:
        for each in self._extensions:
            each.departed(connection)

    def arrived(self, connection: Connection) -> None:
        for each in self._extensions:
            each.arrived(connection)

    def receive(self, message: WatchRoom | PresenceReport) -> None:
        for each in self._extensions:
            each.receive(message)

    def shard_up(self, shard: int, incarnation: int) -> None:
        for each in self._extensions:
            each.shard_up(shard, incarnation)

    def shard_down(self, shard: int, incarnation: int) -> None:
        for each in self._extensions:
            each.shard_down(shard, incarnation)
