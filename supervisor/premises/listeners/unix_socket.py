"""`UnixSocket`: a listening Unix socket at a path that the operator chose, for a proxy on the same machine.

Opened by `open_listeners`. A file that a crashed server has left is replaced; one that somebody listens on is not, nor anything
that is not a socket. At the end the file is removed, if it is still the one that was made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.listen_socket import BACKLOG, AddressTakenError
from wspulse.supervisor.premises.runtime_dir import MAX_SOCKET_PATH_BYTES

__all__ = ["UnixSocket"]

_MODE = 0o666
"""As of a port of this machine, anybody may connect who may enter the folder: a proxy most often runs as another user."""


class UnixSocket:
    """See the module. `address` is that of the server's ports. Raises StartError where it cannot listen there, AddressTakenError
    where somebody else does."""

    def __init__(self, path: str, address: str) -> None:
        self.path = path
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise StartError(
                f"--unix-socket: the path is longer than the {MAX_SOCKET_PATH_BYTES} bytes that a socket's may have: {path}"
            )
        _clear(path, address)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.bind(path)
            Path(path).chmod(_MODE)
            self.sock.listen(BACKLOG)
            self.sock.setblocking(False)
            status = os.lstat(path)
        except OSError as error:
            self.sock.close()
            raise StartError(f"--unix-socket: cannot listen on {path}: {error.strerror}") from None
        self._identity = status.st_dev, status.st_ino

    def close(self) -> None:
        """The file first: once the socket is closed, the file of another server may have its identity. Idempotent."""
        if self.sock.fileno() < 0:
            return
        with contextlib.suppress(OSError):
            status = os.lstat(self.path)
            if (status.st_dev, status.st_ino) == self._identity:
                Path(self.path).unlink()
        self.sock.close()


def _clear(path: str, address: str) -> None:
    """Remove the file of a server that is gone."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StartError(f"--unix-socket: {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(status.st_mode):
        raise StartError(f"--unix-socket: {path} exists and is not a socket; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                with contextlib.suppress(FileNotFoundError):
                    Path(path).unlink()
                return
            if error.errno == errno.ENOENT:
                return
            if error.errno != errno.EAGAIN:  # its backlog is full: it lives
                raise StartError(f"--unix-socket: {path}: {error.strerror}") from None
    raise AddressTakenError(
        f"--unix-socket: another program listens on {path}; stop it or choose another path", address
    )
