"""What a gateway is told at its start, as plain values that pickle: `GatewaySpec`."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wspulse.actors.mesh.lifecycle import SlotTable
from wspulse.supervisor.cluster.hosts.records import HostInfo
from wspulse.supervisor.host.shared_file import SharedFile

__all__ = ["GatewaySpec"]


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """See the module. The sockets become inherited descriptors when this is pickled for a new process."""

    urls: Sequence[str] = field(repr=False)
    """Of NATS servers. A password may be in it."""
    cluster: str
    replicas: int | None
    """Of streams; None for what they have, or what the servers can do."""
    credentials: str | None
    """The path of a file."""
    timeout_s: float
    """How long NATS may be away at the first start."""
    waits: bool
    """For ever, then."""
    push_path: str
    """Where workers push, without ipc://."""
    subscribe_path: str
    positions_path: str
    host: HostInfo
    """Ours."""
    lease: SharedFile
    """Of the host's membership, which workers read."""
    mailbox: socket.socket
    """Where workers ask."""
    seats: Mapping[int, str]
    """Where workers are reached, at the start."""
    table: SlotTable
    """Whose the connection ids are, at the start."""
    channel: socket.socket
    """To the supervisor, which is gone when it ends."""
    log_level: str
    log_format: str
