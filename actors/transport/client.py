"""What is done to a client's socket, and what the kernel knows of it.

Used by the transport, to which `None` stands for a socket that it no longer has, and by refusals. The kernel is asked when a peer
is about to be judged, never for a frame; of a socket that is none of its own, as that of a connection under an ASGI server, it
knows nothing.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from asyncio import Transport
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ

from wspulse.actors.values.request import Address

__all__ = [
    "abort",
    "address_of",
    "can_be_copied",
    "close",
    "copy_of",
    "end_writing",
    "is_behind",
    "pause_reading",
    "resume_reading",
    "shut_down",
    "taken_bytes",
    "unread_bytes",
    "unsent_bytes",
    "untaken_bytes",
]

_NOTHING = b"\0\0\0\0"
_NUMBER = struct.Struct("i")
_SO_NWRITE = 0x1024
"""macOS, for which TIOCOUTQ is no question for a socket."""

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_ACKED = struct.Struct("=Q")
_ACKED_AT = 120
"""Of tcpi_bytes_acked in Linux's struct tcp_info, whose fields stay where they are."""

_BEHIND_BYTES = 64 * 1024
"""What the kernel may hold for a peer when we close its socket: it does so for as long as the peer likes."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, on, 0 s: closing throws away what was not sent, and resets the connection."""


def address_of(client: Transport) -> Address | None:
    """Of the peer, as the socket says it; None where it has none."""
    name = client.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return None
    # A listener of both families has clients of IPv4 so.
    return name[0].removeprefix("::ffff:") if "." in name[0] else name[0], name[1]


def pause_reading(client: Transport | None) -> None:
    if client is not None and not client.is_closing():
        client.pause_reading()


def resume_reading(client: Transport | None) -> None:
    if client is not None and not client.is_closing():
        client.resume_reading()


def end_writing(client: Transport | None) -> None:
    """End our side of the stream: the client reads what was written, then the end."""
    if client is not None and client.can_write_eof():
        # A client that is gone may have reset the connection already, which asyncio's loop tells by raising.
        with suppress(OSError):
            client.write_eof()


def close(client: Transport | None) -> None:
    """Close the socket when everything is written; of a peer that is behind only our side of the stream, since the kernel would
    hold megabytes for it. Whoever calls bounds its time."""
    if client is not None:
        if is_behind(client):
            end_writing(client)
            resume_reading(client)  # its end is to be seen
        else:
            client.close()


def abort(client: Transport | None) -> None:
    """Drop the socket now; the loop says when it is gone. Where the peer has not taken everything the connection is reset: the
    kernel would hold megabytes for a peer that does not read, for as long as that likes."""
    if client is None:
        return
    if unsent_bytes(client) and (sock := client.get_extra_info("socket")) is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    client.abort()


def shut_down(client: Transport | None) -> None:
    """End the connection, whoever else holds a copy of its descriptor, as a child that user code has forked may: for the moment
    at which the socket is closed for good."""
    sock = None if client is None else client.get_extra_info("socket")
    if sock is None or (descriptor := sock.fileno()) < 0:
        return
    # The family is of no matter here; without it the kernel would be asked.
    copy = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
    try:
        copy.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the peer has ended it
    finally:
        copy.detach()


def can_be_copied(client: Transport) -> bool:
    """Whether it is open and a socket of the kernel's, with nothing of this process between that and what is written."""
    if client.is_closing() or client.get_extra_info("sslcontext") is not None:
        return False
    sock = client.get_extra_info("socket")
    return sock is not None and sock.fileno() >= 0


def copy_of(client: Transport) -> int:
    """A descriptor of the same socket, which the caller owns. Raises OSError."""
    return os.dup(client.get_extra_info("socket").fileno())


def is_behind(client: Transport | None) -> bool:
    """Whether the peer has yet to take much of what was written."""
    return untaken_bytes(client) >= _BEHIND_BYTES


def unread_bytes(client: Transport | None) -> int:
    """What the peer has sent and we have not read."""
    return _asked(client, FIONREAD)


def untaken_bytes(client: Transport | None) -> int:
    """What our kernel holds for the peer's, which has not taken it."""
    if sys.platform == "darwin":
        sock = None if client is None else client.get_extra_info("socket")
        try:
            return 0 if sock is None else int(sock.getsockopt(socket.SOL_SOCKET, _SO_NWRITE))
        except OSError:
            return 0
    else:
        return _asked(client, TIOCOUTQ)


def taken_bytes(client: Transport | None) -> int:
    """A number that rises with what the peer takes, whatever is written meanwhile. Where the kernel keeps no such count it also
    falls with what is written."""
    sock = None if client is None else client.get_extra_info("socket")
    if sock is None or _TCP_INFO is None:
        return -untaken_bytes(client)
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _ACKED_AT + 8)
    except OSError:
        return -untaken_bytes(client)
    return _ACKED.unpack_from(info, _ACKED_AT)[0] if len(info) >= _ACKED_AT + 8 else -untaken_bytes(client)


def unsent_bytes(client: Transport | None) -> int:
    """What was written and the peer has not taken, in our buffer and the kernel's."""
    return 0 if client is None else client.get_write_buffer_size() + untaken_bytes(client)


def _asked(client: Transport | None, question: int) -> int:
    sock = None if client is None else client.get_extra_info("socket")
    if sock is None:
        return 0
    try:
        answer: int = _NUMBER.unpack(ioctl(sock.fileno(), question, _NOTHING))[0]
    except (OSError, ValueError):
        return 0  # it is closed
    return max(0, answer)
