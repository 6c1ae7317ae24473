"""What a worker is told at its start, as plain values that pickle: `ChildSpec`, `Place` and `Start`.

A `ChildSpec` is built once per server by the supervisor, for every start of every worker. Where among the others a worker
stands differs from start to start: that is its `Place`, made by `Workers`. A `Start` adds its end of the channel.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wspulse.actors.accept.listener import Listener
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.mesh.lifecycle import SlotTable
from wspulse.supervisor.host.shared_file import SharedFile

__all__ = ["ChildSpec", "Place", "Start"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What is the same for all workers."""

    app: str
    overrides: dict[str, Any]
    """Server options that flags, variables or the file named, as `Settings.overrides` has them."""
    path: str
    alive_period_s: float
    """How often a worker says that its loop turns."""
    drain_s: float
    """How long a worker that is to end has for what it still does."""
    log_level: str
    log_format: str
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks."""
    reads_proxy_headers: bool = False
    measures: bool = False
    """Whether somebody looks at the metrics, so that what costs something at each frame, upgrade and pong is measured too."""
    desk_path: str = ""
    """Where the bridge desk is; only for the application `bridge`."""


@dataclass(frozen=True, slots=True)
class Place:
    """One worker's among the others. The sockets become inherited descriptors when this is pickled for a new process."""

    shard: int
    """Its name."""
    seat: int
    """Where it is reached."""
    incarnation: int
    listeners: Sequence[Listener]
    mailbox: socket.socket | None = None
    mailbox_paths: Mapping[int, str] = field(default_factory=dict)
    """By seat: where it and the others are reached."""
    table: SlotTable | None = None
    """Whose the connection ids are; None: all are this worker's."""
    bus: tuple[str, str] | None = None
    """Push and subscribe endpoint; None for a worker that is the only one."""
    cluster: ClusterSeat | None = None
    """Where the server spans several hosts; then there is a bus."""
    lease: SharedFile | None = None
    """Of the host's membership in the cluster."""
    counts: SharedFile | None = None
    """In which all workers count connections."""
    stands_by: bool = False
    """Others serve; when the application is loaded and on_start has run, say Prepared and wait for TakeOver."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one worker."""

    place: Place
    channel: socket.socket
    """The worker's end of its stream to the supervisor."""
