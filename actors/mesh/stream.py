"""`Stream`: envelopes and descriptors over one connected Unix stream socket, each with its length before it.

Created by mailboxes (worker ↔ worker) and by the supervisor's channel (supervisor ↔ worker). A stream knows no meaning of
what it carries. The first error ends it, once, and what was not sent by then is gone.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable

import msgspec

from wspulse.actors.mesh.message import Envelope, Handover, ReceiptsWanted

__all__ = ["Stream"]

_LENGTH = struct.Struct("!I")
_READ_BYTES = 64 * 1024
"""Below what malloc maps afresh for each read: with 256 KB a handover cost 40 µs of page faults more."""

_CLOSE_ON_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Makes descriptors arrive non-inheritable, where the system can."""

_DESCRIPTOR = struct.Struct("i")
_MOST_DESCRIPTORS = 16
"""That travel with one write."""

_ANCILLARY_BYTES = socket.CMSG_LEN(_MOST_DESCRIPTORS * _DESCRIPTOR.size)
_MAX_ENVELOPE_BYTES = 256 * 1024 * 1024
"""More than the largest frame (64 MiB) with all that may stand around it."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Envelope] = msgspec.msgpack.Decoder(Envelope)


class Stream:
    """One end of a connected stream, on the running loop; it reads from its creation on.

    `on_envelope(envelope, fd)` gets each envelope in order, with the descriptor that came with it (the receiver's to
    close). `on_end()` is called once, when the other side is gone or the stream was closed.
    """

    __slots__ = (
        "_descriptors",
        "_fd",
        "_incoming",
        "_loop",
        "_on_end",
        "_on_envelope",
        "_out",
        "_scheduled",
        "_sock",
        "_waiting",
    )

    def __init__(
        self,
        sock: socket.socket,
        on_envelope: Callable[[Envelope, int | None], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock: socket.socket | None = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._on_envelope = on_envelope
        self._on_end = on_end
        self._incoming = bytearray()
        self._descriptors: deque[int] = deque()
        self._out: deque[tuple[bytes | memoryview, tuple[int, ...]]] = deque()
        self._scheduled = False
        self._waiting = False
        self._loop.add_reader(self._fd, self._readable)

    @property
    def ended(self) -> bool:
        return self._sock is None

    @property
    def backlogged(self) -> bool:
        """Whether something that was sent is not yet with the kernel."""
        return bool(self._out)

    def send(self, envelope: Envelope, fd: int | None = None) -> None:
        """Queue an envelope, to be written at the end of this loop turn. After the end it is ignored.

        The caller keeps `fd` open until the other side has said that it arrived.
        """
        if self._sock is None:
            return
        body = _encoder.encode(envelope)
        self._out.append((_LENGTH.pack(len(body)) + body, () if fd is None else (fd,)))
        if not self._scheduled and not self._waiting:
            self._scheduled = True
            self._loop.call_soon(self._turn_ended)

    def flush(self) -> None:
        """Hand to the kernel what it takes now."""
        if self._sock is not None and not self._waiting:
            self._write()

    def close(self) -> None:
        """End the stream; `on_end` is called before this returns."""
        sock = self._sock
        if sock is None:
            return
        self._sock = None
        self._loop.remove_reader(self._fd)
        if self._waiting:
            self._loop.remove_writer(self._fd)
        sock.close()
        self._out.clear()
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._on_end()

    def _turn_ended(self) -> None:
        self._scheduled = False
        self.flush()

    def _write(self) -> None:
        sock = self._sock
        out = self._out
        assert sock is not None
        while out:
            data, descriptors = self._next_piece()
            try:
                if not descriptors:
                    sent = sock.send(data)
                else:
                    packed = struct.pack(f"{len(descriptors)}i", *descriptors)
                    sent = sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)])
            except (BlockingIOError, InterruptedError):
                out.appendleft((data, descriptors))
                break
            except OSError:
                self.close()
                return
            if sent < len(data):
                # The descriptors have gone with the first byte.
                out.appendleft((memoryview(data)[sent:], ()))
        if bool(out) != self._waiting:
            self._waiting = bool(out)
            if self._waiting:
                self._loop.add_writer(self._fd, self._write)
            else:
                self._loop.remove_writer(self._fd)

    def _next_piece(self) -> tuple[bytes | memoryview, tuple[int, ...]]:
        """What waits first, as one piece with its descriptors; a large envelope is not copied."""
        out = self._out
        data, descriptors = out.popleft()
        if len(data) >= _READ_BYTES or not out:
            return data, descriptors
        pieces = [data]
        size = len(data)
        while out and size < _READ_BYTES and len(descriptors) + len(out[0][1]) <= _MOST_DESCRIPTORS:
            following, more = out.popleft()
            pieces.append(following)
            size += len(following)
            descriptors += more
        return b"".join(pieces), descriptors

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data, ancillary, _, _ = self._sock.recvmsg(_READ_BYTES, _ANCILLARY_BYTES, _CLOSE_ON_EXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        for level, kind, packed in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._keep_descriptors(packed)
        if not data:
            self.close()
            return
        self._incoming += data
        self._cut()

    def _keep_descriptors(self, packed: bytes) -> None:
        for (fd,) in _DESCRIPTOR.iter_unpack(packed[: len(packed) // _DESCRIPTOR.size * _DESCRIPTOR.size]):
            if not _CLOSE_ON_EXEC:
                os.set_inheritable(fd, False)
            self._descriptors.append(fd)

    def _cut(self) -> None:
        incoming = self._incoming
        start = 0
        while len(incoming) - start >= 4:
            (length,) = _LENGTH.unpack_from(incoming, start)
            if length > _MAX_ENVELOPE_BYTES:
                self.close()
                return
            end = start + 4 + length
            if len(incoming) < end:
                break
            envelope = _decoder.decode(bytes(memoryview(incoming)[start + 4 : end]))
            start = end
            self._on_envelope(envelope, self._take_descriptor(envelope))
            if self._sock is None:
                return
        if start:
            del incoming[:start]

    def _take_descriptor(self, envelope: Envelope) -> int | None:
        """Descriptors arrive with the first byte of their envelope: the oldest one belongs to this envelope."""
        if isinstance(envelope, Handover | ReceiptsWanted) and self._descriptors:
            return self._descriptors.popleft()
        return None
