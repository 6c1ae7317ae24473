"""What a terminator is told at its start, as plain values that pickle: `TerminatorSpec`."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from wspulse.supervisor.tls.certificate import Certificate

__all__ = ["REREAD", "TerminatorSpec"]

REREAD = b"r"
"""On the channel: show what the certificate's files say from now on."""


@dataclass(frozen=True, slots=True)
class TerminatorSpec:
    """See the module. The sockets become inherited descriptors when this is pickled for a new process."""

    number: int
    listeners: Sequence[socket.socket]
    """Where clients connect; all terminators have them."""
    way: str
    """The path of the Unix socket from which workers accept."""
    channel: socket.socket
    """From the supervisor, which is gone when it ends."""
    certificate: Certificate
    log_level: str
    log_format: str
