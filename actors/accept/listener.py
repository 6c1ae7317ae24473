"""`Listener`: a listening socket, and how those who connect there say whom they come from.

Opened by whoever runs the server, and accepted from by the acceptor of each worker. Plain values: it goes to new processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from socket import socket

__all__ = ["Introduction", "Listener"]


class Introduction(Enum):
    """How a connection begins. One way per listener: what comes is never guessed, or any client could claim any address."""

    NONE = "none"
    """With the request: the client is whoever the socket says."""
    PROXY = "proxy"
    """With a PROXY protocol header, which only trusted peers may send."""
    TERMINATOR = "terminator"
    """The same, from a TLS terminator of our own, which nobody else can be."""


@dataclass(frozen=True, slots=True)
class Listener:
    """See the module."""

    sock: socket
    introduction: Introduction = Introduction.NONE
