"""What a terminator is told at its start, as plain values that pickle: `TerminatorSpec`."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from wspulse.supervisor.tls.certificates.pem import Pem

__all__ = ["TerminatorSpec"]


@dataclass(frozen=True, slots=True)
class TerminatorSpec:
    """See the module. The sockets become inherited descriptors when this is pickled for a new process."""

    number: int
    listeners: Sequence[socket.socket]
    """Where clients connect; all terminators have them."""
    way: str
    """The path of the Unix socket from which workers accept."""
    channel: socket.socket
    """To the supervisor, which is gone when it ends."""
    pem: Pem
    handshake_s: float
    """How long a client has for its handshake; the server's own handshake_timeout begins anew behind it."""
    alive_s: float
    """Between two signs of life on the channel."""
    log_level: str
    log_format: str
