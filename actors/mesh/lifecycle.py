"""What the supervisor and a worker tell each other of the worker's life, as messages; `message` has all others.

The supervisor's `Child` and the worker's `main` send and take them. Plain values, encoded only when they leave the process.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["ActorMessage", "LifecycleMessage"]


class ActorMessage(msgspec.Struct, array_like=True, tag=True, gc=False):
    """What one actor may send another."""


# Supervisor → worker.


class ShardUp(ActorMessage):
    """A shard's worker is ready under this incarnation."""

    shard: int
    incarnation: int


class ShardDown(ActorMessage):
    """A shard's worker has ended: its sessions are gone."""

    shard: int
    incarnation: int


class ShardSilence(ActorMessage):
    """A shard's worker has not been heard for so long, though its process is there; or (`is_over`) it was, and is heard again."""

    shard: int
    incarnation: int
    pid: int
    silence_s: float
    is_over: bool = False


class Drain(ActorMessage):
    """Stop accepting and end all sessions with 1001; answer with Drained. The process stays until Exit.

    `server_closes` is False where only this worker is replaced: its last callbacks may still broadcast.
    """

    server_closes: bool = True


class TakeOver(ActorMessage):
    """To a worker that stands by: its shard's worker has ended, serve."""


class WatchEvents(ActorMessage):
    """Publish the events whose topics begin with one of these; none when there are none."""

    prefixes: list[bytes]


class HealthChanged(ActorMessage):
    """Something of the whole server is amiss (`reason`, short and constant), or is well again: the health check tells it."""

    reason: str
    is_well: bool


class Exit(ActorMessage):
    """All that was to be drained is: end the process."""


# Worker → supervisor.


class Ready(ActorMessage):
    """The application is loaded and the shard accepts."""

    shard: int
    incarnation: int


class Prepared(ActorMessage):
    """The application is loaded and on_start has run: this worker, which stands by, serves as soon as it is told TakeOver."""


class BootFailed(ActorMessage):
    """The application cannot be loaded, or on_start failed. `is_usage` tells a wrong option from a raised error."""

    text: str
    is_usage: bool = False


class Alive(ActorMessage):
    """The worker's loop turns. Sent every second, and as it ends."""

    connections: int
    counters: dict[str, Any] = {}
    """What it has counted since its start; what it counts by kind, as a map of its own."""


class CloseRequested(ActorMessage):
    """The application called `server.close()`: drain every shard, then end the server."""


class Draining(ActorMessage):
    """Somebody has sent this worker SIGTERM: it ends its sessions, and then itself."""


class Drained(ActorMessage):
    """This shard has no session left and every on_disconnect has run."""


class Events(ActorMessage):
    """What happened to sessions, in order: (topic, msgpack map) each (only while somebody listens for events).

    `dropped_events` of this worker were dropped before the first of them.
    """

    events: list[tuple[bytes, bytes]]
    dropped_events: int


LifecycleMessage = (
    ShardUp
    | ShardDown
    | ShardSilence
    | Drain
    | TakeOver
    | WatchEvents
    | HealthChanged
    | Exit
    | Ready
    | Prepared
    | BootFailed
    | Alive
    | CloseRequested
    | Draining
    | Drained
    | Events
)
