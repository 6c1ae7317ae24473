"""The sockets that the supervisor opens for its workers: the TCP listener of all, and each shard's mailbox listener.

They outlive the workers that accept on them: what arrives while a worker is replaced waits in the backlog.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

from wspulse.supervisor.errors import StartError

__all__ = ["AddressTakenError", "address_text", "open_listener", "open_mailbox_listener"]

BACKLOG = 4096
"""The kernel cuts it to net.core.somaxconn (4096 on current Linux). Thousands of clients come back at once when a worker
dies; connections beyond the backlog wait for a second before their SYN is sent again."""


class AddressTakenError(StartError):
    """Something listens there already; `address` is the IP address."""

    def __init__(self, problem: str, address: str) -> None:
        super().__init__(problem)
        self.address = address


def open_listener(host: str, port: int, *, takes_ipv4: bool = True) -> socket.socket:
    """Bind and listen, non-blocking. `localhost` means 127.0.0.1 where there is one; "::" takes IPv4 too, unless that is another
    listener's.

    Raises StartError saying what to do, AddressTakenError for a port that is taken, so that the caller can try again.
    """
    problem: OSError | None = None
    for family, address in _resolve(host, port):
        try:
            return _bind(family, address, takes_ipv4)
        except OSError as error:
            problem = error
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                break  # another address of the same name would only hide what is wrong
    assert problem is not None
    text = _explain(problem, host, port)
    if problem.errno == errno.EADDRINUSE:
        raise AddressTakenError(text, str(address[0])) from None
    raise StartError(text) from None


def open_mailbox_listener(path: str) -> socket.socket:
    """The Unix stream listener of one shard, non-blocking. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def address_text(host: str, port: int) -> str:
    """host:port as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolve(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartError(
            f"the host {host!r} cannot be resolved ({reason}); give --host a name or an address of this machine"
        ) from None
    addresses: list[tuple[int, tuple[object, ...]]] = [
        (int(family), address) for family, _, _, _, address in found if family in _FAMILIES
    ]
    if not addresses:
        raise StartError(f"the host {host!r} has no IP address")
    if host == "localhost":
        addresses.sort(key=lambda item: item[0] != socket.AF_INET)
    return addresses


_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _bind(family: int, address: tuple[object, ...], takes_ipv4: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of a server that just ended are in TIME_WAIT and would hold the port for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" and takes_ipv4 else 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    where = address_text(host, port)
    match error.errno:
        case errno.EADDRINUSE:
            finder = f"lsof -i :{port}" if sys.platform == "darwin" else f"ss -ltnp 'sport = :{port}'"
            return f"{where} is in use by another program ({finder} shows it); stop it or choose another --port"
        case errno.EACCES:
            return f"this user may not listen on {where}; choose a --port above 1023, or put a proxy in front"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; choose another --host, or 0.0.0.0 for all addresses"
        case _:
            return f"cannot listen on {where}: {os.strerror(error.errno or 0)}"
