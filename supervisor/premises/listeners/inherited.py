"""Listening sockets that whoever started the server has opened: `--fd`, and systemd's socket activation.

Read once at the start, by `open_listeners`. systemd says by LISTEN_FDS how many there are, from descriptor 3 on, and by
LISTEN_PID for whom (sd_listen_fds(3)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from wspulse.supervisor.errors import StartError

__all__ = ["activated_descriptors", "inherited_listener"]

_FIRST = 3
"""SD_LISTEN_FDS_START."""

_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def activated_descriptors(environ: MutableMapping[str, str]) -> list[int]:
    """The descriptors that systemd has given to this process. Nobody that it starts is to take them for its own: the variables
    are removed."""
    said = {name: environ.pop(name, "") for name in _VARIABLES}
    if not said["LISTEN_FDS"].isdecimal() or said["LISTEN_PID"] != str(os.getpid()):
        return []
    return list(range(_FIRST, _FIRST + int(said["LISTEN_FDS"])))


def inherited_listener(fd: int, source: str) -> socket.socket:
    """The listening stream socket of a descriptor, non-blocking. `source` is where the number comes from. Raises StartError."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise StartError(f"{source}: descriptor {fd} is not a socket: {error.strerror}") from None
    try:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if (
        sock.type != socket.SOCK_STREAM
        or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
        or not listens
    ):
        sock.detach()
        raise StartError(f"{source}: descriptor {fd} is not a listening TCP or Unix stream socket")
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock
