"""`Stream`: envelopes and descriptors over one connected Unix stream socket, each with its length before it.

Created by links and mailboxes (worker ↔ worker, supervisor → worker) and for the supervisor's channel to each worker. A stream
knows no meaning of what it carries. The first error of the socket ends it, once, and what was not sent by then is gone.

Bytes and descriptors travel in queues of their own, which can part: at the limit of descriptors the kernel delivers the bytes
and drops the descriptor (MSG_CTRUNC). A stream that lost one cannot say any more which belongs to which envelope, and ends;
who sent them still holds them, and sends them again on the next. What cannot be decoded ends it too.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from time import monotonic

import msgspec

from wspulse.actors.mesh.message import Envelope, Handover, MailboxMoved, ReceiptsWanted
from wspulse.actors.mesh.outbox import MOST_DESCRIPTORS, Outbox
from wspulse.actors.mesh.placing.moves import SocketComes
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["SHORTAGES", "Stream"]

_LENGTH = struct.Struct("!I")
_READ_BYTES = 64 * 1024
"""Below what malloc maps afresh for each read: with 256 KB a handover cost 40 µs of page faults more."""

_CLOSE_ON_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Makes descriptors arrive non-inheritable, where the system can."""

_TRUNCATED = int(socket.MSG_CTRUNC)
"""As a plain number: to ask the enumeration's member for each read costs 2 µs."""

_DESCRIPTOR = struct.Struct("i")
_ANCILLARY_BYTES = socket.CMSG_LEN(MOST_DESCRIPTORS * _DESCRIPTOR.size)
_MAX_ENVELOPE_BYTES = 256 * 1024 * 1024
"""More than the largest frame (64 MiB) with all that may stand around it."""

_WITH_DESCRIPTOR = (Handover, ReceiptsWanted, MailboxMoved, SocketComes)

SHORTAGES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ETOOMANYREFS))
"""This process, or its machine, is short of something, and soon may not be."""

_SHORTAGE_S = 0.02
"""How long a stream writes nothing that could not be sent for a shortage: its socket stays writable, so that waiting for that
would be a busy loop."""

_NO_BOUND = 1 << 62

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Envelope] = msgspec.msgpack.Decoder(Envelope)

_logger = logging.getLogger("wspulse.stream")
_log = LogLimit()


class Stream:
    """One end of a connected stream, on the running loop; it reads from its creation on.

    `on_envelope(envelope, fd)` gets each envelope in order, with the descriptor that came with it (the receiver's to
    close); what it raises is logged, and harms no other envelope. `on_end()` is called once, when the other side is gone or
    the stream was closed. With `most_unread_bytes` it takes no envelope while more than that waits to be read by the other
    side: who asks and does not read the answers is not answered. Only one side may have that, or both could wait for ever.

    Raises OSError when the loop cannot watch the socket, which then stays the caller's.
    """

    __slots__ = (
        "_context",
        "_descriptors",
        "_fd",
        "_held",
        "_incoming",
        "_loop",
        "_most_unread_bytes",
        "_on_end",
        "_on_envelope",
        "_outbox",
        "_scheduled",
        "_shortage",
        "_sock",
        "_waiting",
    )

    def __init__(
        self,
        sock: socket.socket,
        on_envelope: Callable[[Envelope, int | None], None],
        on_end: Callable[[], None],
        *,
        most_unread_bytes: int = _NO_BOUND,
    ) -> None:
        sock.setblocking(False)
        self._sock: socket.socket | None = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """In which the loop calls us: that of a handler, which sends, would be kept."""
        self._on_envelope = on_envelope
        self._on_end = on_end
        self._most_unread_bytes = most_unread_bytes
        self._incoming = bytearray()
        self._descriptors: deque[int] = deque()
        self._outbox = Outbox()
        self._scheduled = False
        self._waiting = False
        self._held = False
        """Whether it reads nothing because the other side does not."""
        self._shortage: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._fd, self._readable)

    @property
    def ended(self) -> bool:
        return self._sock is None

    @property
    def backlogged(self) -> bool:
        """Whether something that was sent is not yet with the kernel."""
        return self._outbox.waiting_bytes > 0

    @property
    def waiting_bytes(self) -> int:
        """How much was sent and is not yet with the kernel."""
        return self._outbox.waiting_bytes

    def send(self, envelope: Envelope, fd: int | None = None) -> int:
        """Queue an envelope, to be written at the end of this loop turn. After the end it is ignored.

        Returns the number by which it can be taken back. The caller keeps `fd` open until it has taken the envelope back,
        or the other side has said that it arrived. Raises what the encoder raises, and ValueError for an envelope of
        more than 256 MiB; then nothing was queued.
        """
        if self._sock is None:
            return 0
        body = _encoder.encode(envelope)
        if len(body) > _MAX_ENVELOPE_BYTES:
            raise ValueError(f"an envelope of {len(body)} bytes is too large")
        number = self._outbox.put(_LENGTH.pack(len(body)) + body, fd)
        if not self._scheduled and not self._waiting:
            self._scheduled = True
            self._loop.call_soon(self._turn_ended, context=self._context)
        return number

    def take_back(self, number: int) -> bool:
        """Send that envelope no more, and keep nothing of it. False when it has gone, or has begun to."""
        return self._outbox.take_back(number)

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
        if not self._held:
            self._loop.remove_reader(self._fd)
        if self._waiting:
            self._loop.remove_writer(self._fd)
        if self._shortage is not None:
            self._shortage.cancel()
        sock.close()
        self._outbox.clear()
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._on_end()

    # Writing.

    def _turn_ended(self) -> None:
        self._scheduled = False
        self.flush()

    def _write(self) -> None:
        sock, outbox = self._sock, self._outbox
        assert sock is not None
        wait = False
        while outbox.waiting_bytes:
            piece, descriptors = outbox.next_piece()
            try:
                if not descriptors:
                    sent = sock.send(piece)
                else:
                    packed = struct.pack(f"{len(descriptors)}i", *descriptors)
                    sent = sock.sendmsg([piece], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)])
            except (BlockingIOError, InterruptedError):
                wait = True
                break
            except OSError as error:
                if error.errno in SHORTAGES:
                    self._write_later()
                    break
                self.close()
                return
            outbox.sent(piece, sent)
        if wait != self._waiting:
            self._waiting = wait
            if wait:
                self._context.copy().run(self._loop.add_writer, self._fd, self._write)
            else:
                self._loop.remove_writer(self._fd)
        if self._held and outbox.waiting_bytes <= self._most_unread_bytes // 2:
            self._held = False
            # From the loop, since an envelope may be the reason why this writes.
            self._loop.call_soon(self._read_on, context=self._context)

    def _write_later(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._shortage = self._loop.call_later(_SHORTAGE_S, self._turn_ended, context=self._context)

    # Reading.

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(_READ_BYTES, _ANCILLARY_BYTES, _CLOSE_ON_EXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        for level, kind, packed in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._keep_descriptors(packed)
        if flags & _TRUNCATED:
            self._break("a descriptor could not be received; the stream is closed and opened again")
            return
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

    def _read_on(self) -> None:
        if self._sock is not None and not self._held:
            self._loop.add_reader(self._fd, self._readable)
            self._cut()

    def _cut(self) -> None:
        """Hand on each whole envelope, once, whatever becomes of it."""
        incoming, outbox, most_unread_bytes = self._incoming, self._outbox, self._most_unread_bytes
        start = 0
        try:
            while len(incoming) - start >= 4:
                if outbox.waiting_bytes > most_unread_bytes:
                    self._held = True
                    self._loop.remove_reader(self._fd)
                    return
                (length,) = _LENGTH.unpack_from(incoming, start)
                if length > _MAX_ENVELOPE_BYTES:
                    self._break("an envelope is too large; the stream is closed and opened again")
                    return
                end = start + 4 + length
                if len(incoming) < end:
                    return
                body = bytes(memoryview(incoming)[start + 4 : end])
                start = end
                self._hand_on(body)
                if self._sock is None:
                    return
        finally:
            if start:
                del incoming[:start]

    def _hand_on(self, body: bytes) -> None:
        try:
            envelope = _decoder.decode(body)
        except Exception as error:
            self._break("an envelope cannot be read; the stream is closed and opened again", error)
            return
        fd = None
        if isinstance(envelope, _WITH_DESCRIPTOR):
            if not self._descriptors:
                self._break("an envelope arrived without its descriptor; the stream is closed and opened again")
                return
            # Descriptors arrive with the first byte of their envelope: the oldest one belongs to this envelope.
            fd = self._descriptors.popleft()
        try:
            self._on_envelope(envelope, fd)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            not_logged = _log.admit(monotonic())
            if not_logged is not None:
                _logger.error("an envelope could not be handled", exc_info=error, extra={"not_logged": not_logged})

    def _break(self, reason: str, error: Exception | None = None) -> None:
        """End the stream, which carries nothing any more that could be relied on."""
        not_logged = _log.admit(monotonic())
        if not_logged is not None:
            _logger.warning(reason, exc_info=error, extra={"not_logged": not_logged})
        self.close()
