"""`ChildSpec`: all that a worker is told at its start, as plain values that pickle.

Built once per server by the supervisor; every start of every shard uses it, together with a `Start`, which says which
shard it is and brings the descriptors.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

__all__ = ["ChildSpec", "Start"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What is the same for all workers."""

    app: str
    overrides: dict[str, Any]
    """Server options that flags, variables or the file named, as `Settings.overrides` has them."""
    workers: int
    path: str
    mailbox_paths: tuple[str, ...]
    """By shard; empty with one worker."""
    bus: tuple[str, str] | None
    """Push and subscribe endpoint; None with one worker."""
    alive_period_s: float
    """How often a worker says that its loop turns."""
    drain_s: float
    """How long a worker that is to end has for what it still does."""
    log_level: str
    log_format: str
    desk_path: str = ""
    """Where the bridge desk is; only for the application `bridge`."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one shard. The sockets become inherited descriptors when this is pickled for a new process."""

    shard: int
    incarnation: int
    listener: socket.socket
    mailbox: socket.socket | None
    channel: socket.socket
    """The worker's end of its stream to the supervisor."""
    stands_by: bool = False
    """Another worker serves this shard; when all but that is done, say Prepared and wait for TakeOver."""
