"""What the control clients return: one struct per kind of result (doc/reference/control.md)."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

__all__ = [
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
    """What there is on all shards."""

    missing_shards: tuple[int, ...] = ()
    """Those that are alive and did not answer: what they have is not in the list."""


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
    """Frames that wait for the client."""
    rooms: tuple[str, ...] = ()
    """All that it is in, `room` first."""


class MemberInfo(msgspec.Struct, frozen=True):
    """One session of a room, as a snapshot."""

    id: str
    rooms: tuple[str, ...]
    """All that it is in, its first one first."""
    state: dict[str, Any]
    """The application's, of which what msgpack can express."""
    suspended: bool
    """Whether it waits for its client to come back."""
    since: float
    """When the session began, in Unix time."""
    shard: int


class MovedInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker's replacement came to."""

    moved: int
    """Sessions that another worker has now, whose clients noticed nothing."""
    drained: int
    """Sessions that were closed with 1012, since they could not move, or were to be closed."""
    longest_pause_s: float
    """That any of those that moved was held up."""
    lost: int = 0
    """Sessions that ended with a worker which died before they had moved."""


class ShardMovedInfo(MovedInfo, frozen=True, kw_only=True):
    """The same of one of several workers."""

    shard: int


class ScaledInfo(MovedInfo, frozen=True, kw_only=True):
    """What another number of workers came to."""

    workers: int


class RoomInfo(msgspec.Struct, frozen=True):
    """A room that has members."""

    id: str
    connections: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Gauges (connections, rooms, queued, links_down, rss_bytes) over the workers that answered, and counters since the server's
    start, which never fall: what workers had counted that have ended is in them."""

    connections: int = 0
    rooms: int = 0
    """In the totals each room counts once; of a worker, those that it has members of."""
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
    """How often a worker found that the bus stood still; each counts for itself."""
    events_dropped: int = 0
    links_down: int = 0
    """Other workers that this one cannot reach now; each way counts for itself."""
    rss_bytes: int | None = None


class WorkerStats(Totals, frozen=True, kw_only=True):
    """One worker. What it has counted since its start, as it told last; the gauges are 0 where it did not answer, but for
    `connections`, of which it tells every second."""

    shard: int
    pid: int | None
    state: str
    """"starting", "ready", "silent", "moving" (its sessions, to another worker), "draining", "drained", "waiting" (for its next
    start) or "stopped"."""
    moving_left: int = 0
    """Sessions that have yet to move."""
    silent_for_s: float = 0.0
    """How long the supervisor has not heard it; 0 under 3 s, which is nothing out of the ordinary."""
    unwell: list[str] = []
    """What is amiss with it, as the health check says; empty for a worker that is well."""
    uptime_s: float = 0.0
    loop_lag_s: float = 0.0
    loop_lag_worst_s: float = 0.0
    """Of the last 10 s."""


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
    """What the server as a whole needs and does not have; its health checks answer 503."""
    control_refused: int = 0
    """Control clients that did not get in, for their keys mostly; each attempt counts."""


class SampleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a measurement has come to, for one set of labels: a value; or, of a histogram, `buckets`, `sum` and `count`."""

    labels: dict[str, str]
    value: float | None = None
    buckets: tuple[tuple[str, int], ...] = ()
    """(bound, how many were at most that), ascending; the bounds as Prometheus writes them, the last one is "+Inf"."""
    sum: float | None = None
    """In the measurement's unit."""
    count: int | None = None


class MeasurementInfo(msgspec.Struct, frozen=True):
    """One of the answers to `metrics`."""

    name: str
    kind: str
    """"counter", "gauge" or "histogram"."""
    help: str
    unit: str
    """"seconds" or "bytes"; empty for a number of something."""
    samples: list[SampleInfo]


class Event(msgspec.Struct, kw_only=True):
    """Something that happened. `room` and `connection` are empty for those about workers."""

    kind: str
    seq: int
    prev: int
    """The number of the event before it with the same topic, 0 for unknown."""
    time: float
    """Unix time in seconds."""
    shard: int = -1
    room: str = ""
    connection: str = ""
    pid: int | None = None
    error: dict[str, str] | None = None
    """Why a session ended or lost its transport: `type` and `message`."""
    frame: dict[str, Any] | None = None
    """Of `message` events: `event`, `id`, `payload` (or `truncated`)."""
    is_over: bool | None = None
    """Of `worker.moving`: False when its sessions begin to move, then True with how many did."""
    moved: int | None = None
    drained: int | None = None
    """Closed, since they could not move."""
    missed: bool = False
    """Whether events may be missing before this one. Set by the client."""
