"""What the process of the admin address is told at its start, as plain values that pickle: `AdminSpec`."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from wspulse.supervisor.admin.token_file import TokenFile
from wspulse.supervisor.protocol.address import Address

__all__ = ["AdminSpec"]


@dataclass(frozen=True, slots=True)
class AdminSpec:
    """Made once per server. The socket becomes an inherited descriptor when this is pickled for a new process."""

    listener: socket.socket
    control: Address
    """Where the control socket is, with keys of this process's own where it wants some."""
    token: TokenFile | None
    """With the token that it had at the server's start."""
    log_level: str
    log_format: str
