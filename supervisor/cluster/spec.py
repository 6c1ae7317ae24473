"""What a gateway is told at its start, as plain values that pickle: `GatewaySpec`."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["GatewaySpec"]


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """See the module. The socket becomes an inherited descriptor when this is pickled for a new process."""

    urls: Sequence[str]
    """Of NATS servers."""
    cluster: str
    replicas: int
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
    channel: socket.socket
    """To the supervisor, which is gone when it ends."""
    log_level: str
    log_format: str
