"""`open_listeners`: all that a server listens on, from its settings to sockets.

Called once by the supervisor, which keeps the `Listeners` until its end. Addresses first: who does not get a port has touched
nothing of who has it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping, Sequence
from typing import Protocol

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.inherited import activated_descriptors, inherited_listener
from wspulse.supervisor.premises.listeners.listen_socket import AddressTakenError, address_text
from wspulse.supervisor.premises.listeners.port import claim, claim_listener
from wspulse.supervisor.premises.listeners.unix_socket import UnixSocket

__all__ = ["DEFAULT_HOST", "Listeners", "open_listeners"]

DEFAULT_HOST = "127.0.0.1"


class Where(Protocol):
    """The settings that say where."""

    @property
    def host(self) -> Sequence[str] | None: ...

    @property
    def port(self) -> int: ...

    @property
    def unix_socket(self) -> str | None: ...

    @property
    def fd(self) -> int | None: ...


class Listeners:
    """What was opened. `address` and `port` are those of the first socket of IP; without one they are "unix" and the port that
    was asked for, by which the server has its name all the same."""

    def __init__(self, port: int) -> None:
        self.address = "unix"
        self.port = port
        self.sockets: list[socket.socket] = []
        self._unix: list[UnixSocket] = []

    def add(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX and self.address == "unix":
            self.address, self.port, *_ = sock.getsockname()
        self.sockets.append(sock)

    def add_unix(self, unix_socket: UnixSocket) -> None:
        self._unix.append(unix_socket)
        self.sockets.append(unix_socket.sock)

    @property
    def hosts(self) -> list[str]:
        """The addresses of those of IP."""
        return [sock.getsockname()[0] for sock in self.sockets if sock.family != socket.AF_UNIX]

    def take(self, address: str, *, ipv4_too: bool) -> bool:
        """Whether one of them takes what comes for this address; `ipv4_too`: that of all of IPv6 takes IPv4."""
        hosts = self.hosts
        is_ipv4 = ":" not in address
        return address in hosts or ("0.0.0.0" in hosts and is_ipv4) or ("::" in hosts and (ipv4_too or not is_ipv4))

    @property
    def paths(self) -> list[str]:
        """Of the Unix sockets that were made."""
        return [each.path for each in self._unix]

    def urls(self, path: str, *, scheme: str = "ws") -> list[str]:
        """Where clients find the server, the first first. A proxy writes a Unix socket so."""
        return [_url(each, path, scheme) for each in self.sockets]

    def restore(self, missing: Sequence[str]) -> None:
        """A socket that has no file any more cannot have one again: those who are connected stay, and nobody else comes. Raises
        StartError, so that this is said."""
        raise StartError(f"the Unix socket {' and '.join(missing)} was removed; restart the server to create it again")

    def close(self) -> None:
        """Listen no more in this process, and remove the files of Unix sockets; idempotent."""
        for each in self._unix:
            each.close()
        for sock in self.sockets:
            sock.close()


async def open_listeners(
    where: Where, is_over: Callable[[], bool], environ: MutableMapping[str, str] = os.environ
) -> Listeners | None:
    """Open everything. None when the end comes first. Raises StartError."""
    listeners = Listeners(where.port)
    try:
        inherited = dict.fromkeys(activated_descriptors(environ), "socket activation")
        if where.fd is not None:
            inherited.setdefault(where.fd, "--fd")
        hosts = where.host
        if not hosts:
            hosts = () if inherited or where.unix_socket is not None else (DEFAULT_HOST,)
        for fd, source in inherited.items():
            listeners.add(inherited_listener(fd, source))
        port = where.port
        has_all_of_ipv4 = "0.0.0.0" in hosts
        for host in hosts:
            try:
                sock = await claim_listener(host, port, is_over, takes_ipv4=not has_all_of_ipv4)
            except AddressTakenError as error:
                if listeners.take(error.address, ipv4_too=not has_all_of_ipv4):
                    continue  # two names of one address
                raise
            if sock is None:
                listeners.close()
                return None
            listeners.add(sock)
            port = sock.getsockname()[1]
        if (path := where.unix_socket) is not None:
            # Workers of a server that was killed may listen there for some seconds more.
            unix_socket = await claim(lambda: UnixSocket(path, listeners.address), listeners.port, is_over)
            if unix_socket is None:
                listeners.close()
                return None
            listeners.add_unix(unix_socket)
    except StartError:
        listeners.close()
        raise
    return listeners


def _url(sock: socket.socket, path: str, scheme: str) -> str:
    name = sock.getsockname()
    return (
        f"unix:{_text(name)}:{path}" if sock.family == socket.AF_UNIX else f"{scheme}://{address_text(*name[:2])}{path}"
    )


def _text(name: str | bytes) -> str:
    """An abstract name begins with a zero byte."""
    return name if isinstance(name, str) else "@" + name[1:].decode("utf-8", "replace")
