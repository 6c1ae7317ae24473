"""What the control clients return: one struct per kind of result (doc/control.md)."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["ConnectionInfo", "Event", "RoomInfo", "ServerInfo", "ServerStats", "Totals", "WorkerStats"]


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


class RoomInfo(msgspec.Struct, frozen=True):
    """A room that has members."""

    id: str
    connections: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the workers that answered; the frames and upgrades since each worker's start."""

    connections: int = 0
    rooms: int = 0
    """A room with members on several workers counts on each of them."""
    restarts: int = 0
    queued: int = 0
    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    frames_undecodable: int = 0
    frames_in_dropped: int = 0
    peers_stalled: int = 0
    peers_silent: int = 0
    peers_reset: int = 0
    upgrades: int = 0
    upgrades_refused: int = 0
    bus_gaps: int = 0
    bus_stalls: int = 0
    """How often a worker found that the bus stood still; each counts for itself."""
    events_dropped: int = 0
    links_down: int = 0
    """Other workers that this one cannot reach now; each way counts for itself."""
    rss_bytes: int | None = None


class WorkerStats(Totals, frozen=True, kw_only=True):
    """One worker. What it counts is 0 where it did not answer."""

    shard: int
    pid: int | None
    state: str
    """"starting", "ready", "silent", "draining", "drained", "waiting" (for its next start) or "stopped"."""
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
    missed: bool = False
    """Whether events may be missing before this one. Set by the client."""
