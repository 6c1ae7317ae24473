"""From a descriptor to a socket that a protocol has, and what closes one that nobody wants.

For descriptors that come from other processes: upgrades that were handed over, and sockets whose sessions have moved.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from socket import AF_UNIX, IPPROTO_TCP, SHUT_RDWR, SOCK_STREAM, socket
from typing import Any

__all__ = ["close_copy", "close_for_good", "open_transport", "read_ahead", "stream_socket"]

_READ_BYTES = 256 * 1024
_MOST_AHEAD_BYTES = 1024 * 1024
"""What is read of one socket before it is opened; a peer that has sent more and is gone has lost the rest."""


def stream_socket(fd: int, family: int = 0) -> socket:
    """The descriptor as a socket; where its family is known the kernel is not asked, which takes three calls."""
    protocol = 0 if family == AF_UNIX else IPPROTO_TCP
    client = socket(family, SOCK_STREAM, protocol, fileno=fd) if family else socket(fileno=fd)
    client.setblocking(False)
    return client


def read_ahead(client: socket) -> bytes:
    """What the peer has sent by now. Whoever writes first to a peer that has sent and closed gets its reset, and with that loses
    what is not read yet."""
    data = b""
    with suppress(OSError):
        while len(data) < _MOST_AHEAD_BYTES and (more := client.recv(_READ_BYTES)):
            data += more
            if len(more) < _READ_BYTES:
                break
    return data


def open_transport(loop: asyncio.AbstractEventLoop, client: socket, protocol: asyncio.Protocol) -> bool:
    """Give a socket to a protocol. Returns False where it is none any more: it is closed then, and the protocol not called.

    No task of its own: the loop's coroutine has done all but wait for `connection_made` when it first gives way. A task begins
    one turn later, and hears of the transport another turn later.
    """
    opening = loop.connect_accepted_socket(lambda: protocol, client)
    try:
        opened: asyncio.Future[None] = opening.send(None)
    except OSError:
        close_for_good(client)
        return False
    opened.add_done_callback(partial(_end, opening))
    return True


def close_for_good(client: socket) -> None:
    """The client sees the end, whoever else has the descriptor."""
    with suppress(OSError):
        client.shutdown(SHUT_RDWR)
    client.close()


def close_copy(fd: int) -> None:
    """Close a descriptor of a socket that another process has, whose client notices nothing."""
    with suppress(OSError):
        os.close(fd)


def _end(opening: Coroutine[Any, Any, Any], _opened: asyncio.Future[None]) -> None:
    """Let the coroutine return; what it gives back is known."""
    with suppress(StopIteration):
        opening.send(None)
