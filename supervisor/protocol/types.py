"""What the control clients return: one struct per kind of result (doc/reference/control.md)."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

__all__ = [
    "ClusterHost",
    "ConnectionInfo",
    "Event",
    "Listing",
    "MeasurementInfo",
    "MovedInfo",
    "RoomInfo",
    "SampleInfo",
    "ScaledInfo",
    "ServerInfo",
    "ServerStats",
    "ShardMovedInfo",
    "Totals",
    "WorkerStats",
]


Item = TypeVar("Item")


class Listing(list[Item]):
    """The items of all shards."""

    missing_shards: tuple[int, ...] = ()
    """Shards that are alive and did not answer: their items are missing."""


class ServerInfo(msgspec.Struct, frozen=True):
    """The answer to `ping`."""

    version: str
    events: str
    """The endpoint of the event socket."""
    workers: int


class ConnectionInfo(msgspec.Struct, frozen=True):
    """One session, as a snapshot."""

    id: str
    room: str
    shard: int
    state: str
    """"connected" or "suspended"."""
    connected_at: float
    """Unix time in seconds."""
    queued: int
    """Frames waiting for the client."""
    rooms: tuple[str, ...] = ()
    """All rooms that it is in, `room` first."""
    host: str | None = None
    """Of which host it is, where that is not the one that was asked."""


class MemberInfo(msgspec.Struct, frozen=True):
    """One session of a room, as a snapshot."""

    id: str
    rooms: tuple[str, ...]
    """All rooms that it is in, the one it connected to first."""
    state: dict[str, Any]
    """The application's state, as far as msgpack can express it."""
    suspended: bool
    """Whether it waits for its client to come back."""
    since: float
    """When the session began, in Unix time."""
    shard: int
    host: str | None = None
    """Of which host it is, where that is not the one that was asked."""


class MovedInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The result of replacing a worker."""

    moved: int
    """Sessions that moved to another worker; their clients noticed nothing."""
    drained: int
    """Sessions that were closed with 1012, because they could not move or `drain` was given."""
    longest_pause_s: float
    """The longest that any moved session was held up."""
    lost: int = 0
    """Sessions that ended because a worker died before they had moved."""


class ShardMovedInfo(MovedInfo, frozen=True, kw_only=True):
    """The result for one of several workers."""

    shard: int


class ScaledInfo(MovedInfo, frozen=True, kw_only=True):
    """The result of changing the number of workers."""

    workers: int


class RoomInfo(msgspec.Struct, frozen=True):
    """A room that has members."""

    id: str
    connections: int


class HostLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What a host's workers have at this moment, and what they have counted since each of them was started: less than before
    where one was replaced."""

    answering: int
    """How many of the workers have answered."""
    rooms: int
    """With members on this host."""
    queued: int
    """Frames waiting for clients."""
    frames_in: int
    frames_out: int
    frames_dropped: int


class ClusterHost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A host of a cluster that is alive; a server without a cluster is the only one."""

    id: str
    address: str
    """For people: where its clients connect."""
    workers: int
    connections: int
    """Of other hosts some seconds old, where there is no `load`."""
    since: float
    """When it was started, in seconds since 1970."""
    state: str
    """"this" for the one that was asked, "up" for others; "silent" for one that was asked for its load and did not answer."""
    load: HostLoad | None = None
    """Where it was asked for and came."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Gauges (connections, rooms, queued, links_down, rss_bytes) of the workers that answered, and counters since the server's
    start, which never fall: they include what workers counted that have ended."""

    connections: int = 0
    rooms: int = 0
    """In the totals each room counts once; for a worker, the rooms that have members there."""
    restarts: int = 0
    queued: int = 0
    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    frames_undecodable: int = 0
    frames_reserved: int = 0
    frames_in_dropped: int = 0
    answers_dropped: int = 0
    peers_stalled: int = 0
    peers_silent: int = 0
    peers_reset: int = 0
    messages_too_big: int = 0
    protocol_errors: int = 0
    callbacks_raised: int = 0
    slow_handlers: int = 0
    upgrades: int = 0
    upgrades_refused: int = 0
    refused_400: int = 0
    refused_401: int = 0
    refused_403: int = 0
    refused_404: int = 0
    refused_405: int = 0
    refused_408: int = 0
    refused_409: int = 0
    refused_426: int = 0
    refused_429: int = 0
    refused_431: int = 0
    refused_500: int = 0
    refused_503: int = 0
    refused_505: int = 0
    refused_other: int = 0
    limited_connections: int = 0
    limited_connections_per_address: int = 0
    limited_memory: int = 0
    limited_accept_rate: int = 0
    limited_rooms: int = 0
    limited_reading: int = 0
    limited_messages: int = 0
    no_http: int = 0
    not_introduced: int = 0
    bus_gaps: int = 0
    bus_stalls: int = 0
    """How often a worker found the bus standing still; each worker counts separately."""
    events_dropped: int = 0
    links_down: int = 0
    """Other workers that this one cannot reach now; each direction counts separately."""
    rss_bytes: int | None = None


class WorkerStats(Totals, frozen=True, kw_only=True):
    """One worker: its counters since its start, as last reported. The gauges are 0 if it did not answer, except
    `connections`, which it reports every second."""

    shard: int
    pid: int | None
    state: str
    """"starting", "ready", "silent", "moving" (its sessions, to another worker), "draining", "drained", "waiting" (for its next
    start) or "stopped"."""
    moving_left: int = 0
    """Sessions that still have to move."""
    silent_for_s: float = 0.0
    """For how long the supervisor has not heard from it; 0 below 3 s, which is normal."""
    unwell: list[str] = []
    """What is wrong with it, as the health check says; empty for a healthy worker."""
    uptime_s: float = 0.0
    loop_lag_s: float = 0.0
    loop_lag_worst_s: float = 0.0
    """The worst of the last 10 s."""


class ServerStats(msgspec.Struct, frozen=True):
    """The answer to `stats`."""

    version: str
    pid: int
    """The supervisor's."""
    uptime_s: float
    rss_bytes: int | None
    totals: Totals
    workers: list[WorkerStats]
    unwell: list[str] = []
    """What is wrong with the server as a whole; its health checks answer 503."""
    control_refused: int = 0
    """Control clients that were refused, mostly because of their keys; each attempt counts."""


class SampleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement for one set of labels: a value or, for a histogram, `buckets`, `sum` and `count`."""

    labels: dict[str, str]
    value: float | None = None
    buckets: tuple[tuple[str, int], ...] = ()
    """(upper bound, cumulative count), ascending; bounds as Prometheus writes them, the last one is "+Inf"."""
    sum: float | None = None
    """In the measurement's unit."""
    count: int | None = None


class MeasurementInfo(msgspec.Struct, frozen=True):
    """One measurement in the answer to `metrics`."""

    name: str
    kind: str
    """"counter", "gauge" or "histogram"."""
    help: str
    unit: str
    """"seconds" or "bytes"; empty for a plain count."""
    samples: list[SampleInfo]


class Event(msgspec.Struct, kw_only=True):
    """Something that happened. `room` and `connection` are empty for events of workers."""

    kind: str
    seq: int
    prev: int
    """The `seq` of the previous event with the same topic; 0 if unknown."""
    time: float
    """Unix time in seconds."""
    shard: int = -1
    host: str | None = None
    """Of which host it tells, where there are several."""
    room: str = ""
    connection: str = ""
    pid: int | None = None
    error: dict[str, str] | None = None
    """Why a session ended or lost its transport: `type` and `message`."""
    frame: dict[str, Any] | None = None
    """For `message` events: `event`, `id`, `payload` (or `truncated`)."""
    is_over: bool | None = None
    """For `worker.moving`: False when its sessions begin to move, then True with how many did."""
    moved: int | None = None
    drained: int | None = None
    """Sessions closed because they could not move."""
    missed: bool = False
    """Whether events may be missing before this one. Set by the client."""
