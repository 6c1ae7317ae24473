"""What the supervisor and a worker tell each other of the worker's life, as messages; `message` has all others.

The supervisor's `Child` and the worker's `main` send and take them. Plain values, encoded only when they leave the process.
A process is addressed by its *seat*, a small number that is another's when it has ended; `shard` in what is told of a process
is its seat. The number by which people know a worker is a name, which a replacement at another seat has as well.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["SUPERVISOR_SEAT", "ActorMessage", "LifecycleMessage"]

SUPERVISOR_SEAT = -1
"""Of who asks workers about connection ids as they do each other, and has no mailbox."""


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


class SeatOpened(ActorMessage):
    """A process can be reached at this seat from now on: whoever connects to `path` waits until it is there."""

    seat: int
    path: str


class SeatGone(ActorMessage):
    """Nobody is at this seat any more, and what waits for somebody there waits in vain."""

    seat: int


class SlotTable(ActorMessage):
    """Whose the connection ids are from this version on; lower versions are void. `seats` has the seat of each slot, as
    little-endian u16."""

    version: int
    workers: int
    seats: bytes


class TableAdopted(ActorMessage):
    """To who was the owner before: the process at `seat` sends to others from this version on, and all that it sent before lies
    ahead of this."""

    version: int
    seat: int


class MoveOut(ActorMessage):
    """Move the sessions of some slots to other processes. `targets` has, as little-endian u16, the seat that each slot goes to,
    65535 where it stays. `leaves`: the process ends when that is done, and accepts nobody any more.

    A session that is not quiet after `handover_timeout_s` is closed, those that cannot move spread over `drain_spread_s`;
    `drain`: none can.
    """

    plan: int
    targets: bytes
    leaves: bool
    handover_timeout_s: float
    drain_spread_s: float
    drain: bool = False


class CloseStrays(ActorMessage):
    """A plan that brought sessions here has failed: close those of slots that are another's with 1012, spread over `spread_s`."""

    spread_s: float


class ShareBus(ActorMessage):
    """To the only worker of a server: another process is about to come; broadcast through the bus at these endpoints."""

    push_endpoint: str
    subscribe_endpoint: str


class KeepBus(ActorMessage):
    """To the only worker of a server: nobody else is there; deliver what is broadcast without a bus."""


class Drain(ActorMessage):
    """Stop accepting and end all sessions with 1001; answer with Drained. The process stays until Exit.

    `server_closes` is False where only this worker is replaced: its last callbacks may still broadcast. `restarts`: what could
    not move is closed with 1012 instead. The closes are spread over `spread_s`.
    """

    server_closes: bool = True
    restarts: bool = False
    spread_s: float = 0.0


class TakeOver(ActorMessage):
    """To a worker that stands by: accept from now on."""


class WatchEvents(ActorMessage):
    """Publish the events whose topics begin with one of these; none when there are none."""

    prefixes: list[bytes]


class EventsTaken(ActorMessage):
    """The answer to `EventsMark`: all events that lay ahead of it are published."""

    number: int


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
    """The application is loaded and on_start has run: this worker, which stands by, accepts as soon as it is told TakeOver."""


class BootFailed(ActorMessage):
    """The application cannot be loaded, or on_start failed. `is_usage` tells a wrong option from a raised error."""

    text: str
    is_usage: bool = False


class Alive(ActorMessage):
    """The worker's loop turns. Sent every second, and as it ends."""

    connections: int
    counters: dict[str, Any] = {}
    """What it has counted since its start; what it counts by kind, as a map of its own."""
    histograms: dict[str, Any] = {}
    """How long things took, as `Histograms` tells it."""


class BusShared(ActorMessage):
    """What is broadcast goes through the bus, and what came before it has been delivered."""


class MoveProgress(ActorMessage):
    """How far a plan is: sessions that were moved, that were closed since they could not be, and that are left."""

    plan: int
    moved: int
    drained: int
    left: int
    longest_pause_s: float


class MovedOut(ActorMessage):
    """No session of the plan's slots is left here, and none will be made: the table may say so."""

    plan: int
    moved: int
    drained: int
    longest_pause_s: float


class MoveFailed(ActorMessage):
    """The plan is over, and what is left stays here. `lost`: sessions that had moved, to a process that has died or is to close
    them."""

    plan: int
    reason: str
    moved: int
    drained: int
    lost: int


class Vacated(ActorMessage):
    """All have adopted the table that says so: nothing for the plan's slots comes here any more."""

    plan: int


class CloseRequested(ActorMessage):
    """The application called `server.close()`: drain every shard, then end the server."""


class Draining(ActorMessage):
    """Somebody has sent this worker SIGTERM: it ends its sessions, and then itself."""


class Drained(ActorMessage):
    """This shard has no session left and every on_disconnect has run."""


class Events(ActorMessage):
    """What happened to sessions, in order: (topic, msgpack map) each (only while somebody listens for events).

    `dropped_events` of this worker were dropped before the first of them. Between supervisor and gateway: those of this host that
    others want, and those of others that this one wants.
    """

    events: list[tuple[bytes, bytes]]
    dropped_events: int


class EventsMark(ActorMessage):
    """Behind events, for a worker that wants to know when they are published; answered with `EventsTaken`."""

    number: int


# Supervisor → gateway, besides what all workers are told.


class LivingHosts(ActorMessage):
    """To workers: (tag, name) of all hosts that are alive, and (tag, seat, incarnation) of their workers."""

    hosts: list[tuple[str, str]]
    shards: list[tuple[str, int, int]] = []


class HostLoad(ActorMessage):
    """How many connections and workers this host has, for people who look at the others; (seat, incarnation) of the workers that
    are up; and what the topics of events begin with that it wants of the others."""

    connections: int
    workers: int
    shards: list[tuple[int, int]] = []
    wanted: list[bytes] = []


class HostOptions(ActorMessage):
    """Options of which clients notice, as text. From a worker that is ready, too: by it the supervisor knows them."""

    options: dict[str, str]


# Gateway → supervisor.


class GatewayState(ActorMessage):
    """The gateway serves this host's workers, and this is whether it reaches the other hosts. Sent every second."""

    is_up: bool
    lost: int = 0
    """How often messages of other hosts were lost since the last of these."""


class LeaseChanged(ActorMessage):
    """Whether this host is a member of its cluster: not, where others may have taken what it had."""

    is_held: bool


class HostsChanged(ActorMessage):
    """All hosts that are alive, each as a map of its `HostInfo`."""

    hosts: list[dict[str, Any]]


class GatewayRefused(ActorMessage):
    """The cluster cannot be joined: a sentence that says why."""

    text: str


LifecycleMessage = (
    ShardUp
    | ShardDown
    | ShardSilence
    | SeatOpened
    | SeatGone
    | SlotTable
    | TableAdopted
    | MoveOut
    | CloseStrays
    | ShareBus
    | KeepBus
    | Drain
    | TakeOver
    | WatchEvents
    | EventsTaken
    | HealthChanged
    | Exit
    | Ready
    | Prepared
    | BootFailed
    | Alive
    | BusShared
    | MoveProgress
    | MovedOut
    | MoveFailed
    | Vacated
    | CloseRequested
    | Draining
    | Drained
    | Events
    | EventsMark
    | GatewayState
    | GatewayRefused
    | LeaseChanged
    | HostsChanged
    | HostLoad
    | HostOptions
    | LivingHosts
)
