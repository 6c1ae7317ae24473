"""`Inheritance`: which descriptors of ours a process does not keep that the application forks off this one.

One per runtime, and one per worker process for what it was started with. A child of `os.fork`, or of multiprocessing's start
method "fork", has a copy of every descriptor: with it clients would not see their sockets end, nor others that this process
died, and the port would stay taken. So in the child each descriptor of ours becomes one of /dev/null; its number is not free
for another meanwhile, since the objects that name it are still there. What the application opened stays. Nothing is
noted per connection: what is ours is found out at the fork. (Programs that are started get none: none is inheritable.)
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

__all__ = ["Descriptor", "Inheritance", "open_descriptors"]

_FOLDER = "/dev/fd"

_ANY_HOST = frozenset({"", "0.0.0.0", "::"})

Descriptor = tuple[int, int, int]
"""Number, device and inode: a number is given again when it is free."""


def open_descriptors() -> frozenset[Descriptor]:
    """Those that are open now, but for standard input, output and error."""
    return frozenset(found for fd in _numbers() if (found := _identity(fd)) is not None)


class Inheritance:
    """Holds from `begin` to `end`. `listeners` are those that clients connect to; all Unix sockets in `folders` are ours;
    `descriptors` are others, by what they are now; `loop` is one that no child may touch."""

    def __init__(
        self,
        *,
        listeners: Iterable[socket.socket] = (),
        folders: Iterable[str] = (),
        descriptors: frozenset[Descriptor] = frozenset(),
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._addresses: list[Any] = [name for listener in listeners if (name := listener.getsockname())]
        self._folders = tuple(f"{folder}/" for folder in folders)
        self._descriptors = descriptors
        # The kernel's part of the loop would be the child's too, which could take sockets out of it.
        self._backend = None if loop is None else _identity(_backend_of(loop))

    def begin(self) -> None:
        _held.add(self)
        if not _hooks:
            _hooks.append(_keep_nothing)
            os.register_at_fork(after_in_child=_keep_nothing)

    def end(self) -> None:
        _held.discard(self)

    def has(self, fd: int) -> bool:
        """Whether a descriptor that is open is ours."""
        identity = _identity(fd)
        if identity is None:
            return False
        return identity in self._descriptors or identity == self._backend or self._has_socket(fd)

    def _has_socket(self, fd: int) -> bool:
        try:
            sock = socket.socket(fileno=fd)
        except OSError:
            return False
        try:
            if sock.family != socket.AF_UNIX:
                return sock.type == socket.SOCK_STREAM and self._is_served(sock.getsockname())
            own = sock.getsockname()
            if own in self._addresses:
                return True
            return self._is_in_folders(own) or self._is_in_folders(sock.getpeername())
        except OSError:
            return False  # not connected, for one
        finally:
            sock.detach()

    def _is_served(self, own: Any) -> bool:
        """Whether this is a listener's address, as that of each connection which it accepted is."""
        return isinstance(own, tuple) and any(
            own[1] == address[1] and (address[0] in _ANY_HOST or own[0] == address[0])
            for address in self._addresses
            if isinstance(address, tuple)
        )

    def _is_in_folders(self, name: Any) -> bool:
        return bool(self._folders) and isinstance(name, str) and name.startswith(self._folders)


_held: set[Inheritance] = set()
_hooks: list[Any] = []
"""Where the hook stands once it is set: it can't be taken back."""


def _keep_nothing() -> None:
    """In the child: let go of what is ours."""
    if not _held:
        return
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in _numbers():
            if fd != nothing and any(each.has(fd) for each in _held):
                os.dup2(nothing, fd, inheritable=False)
        os.close(nothing)


def _numbers() -> list[int]:
    return [fd for name in os.listdir(_FOLDER) if (fd := int(name)) > 2]  # noqa: PTH208


def _identity(fd: int) -> Descriptor | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None  # that of the listing
    return fd, status.st_dev, status.st_ino


def _backend_of(loop: Any) -> int:
    """The descriptor in which the kernel keeps what the loop waits for; -1 where it has none that can be told."""
    if hasattr(loop, "_get_backend_id"):  # uvloop
        return int(loop._get_backend_id())
    fileno = getattr(getattr(loop, "_selector", None), "fileno", None)
    return -1 if fileno is None else int(fileno())
