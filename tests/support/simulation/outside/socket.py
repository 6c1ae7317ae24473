"""`SimSocket`: the server's end of a connection that exists only in a simulation.

It behaves as uvloop's transport does with a high-water mark of 0: it writes at once what the kernel takes, pauses the
protocol at the first byte that it does not take, resumes it when all is taken, reports a lost connection from the loop,
and raises where uvloop raises. Its kernel holds few bytes, so that a peer that does not read is felt soon.
"""

from __future__ import annotations

import asyncio
import socket
from termios import FIONREAD
from typing import TYPE_CHECKING, Any, cast

from tests.support.simulation.model.checks import check_turn
from tests.support.simulation.model.patience import FAR_BYTES
from wspulse.actors.transport.refusal import Refusal
from wspulse.actors.transport.state import TransportState

if TYPE_CHECKING:
    from tests.support.simulation.model.model import Model
    from tests.support.simulation.outside.peer import SimPeer
    from tests.support.simulation.outside.processes.process import SimProcess
    from wspulse.actors.sessions.shard import Shard
    from wspulse.actors.transport.transport import Transport

__all__ = ["SimSocket"]


class SimSocket(asyncio.Transport):
    """The server's end: what a `Transport` takes for its socket."""

    __slots__ = (
        "aborted",
        "capacity_bytes",
        "closed",
        "closing",
        "eof_is_due",
        "eof_written",
        "far_until",
        "is_leaving",
        "kernel_bytes",
        "lost",
        "model",
        "paused",
        "peer",
        "process",
        "progress_at",
        "protocol",
        "reading",
        "reset",
        "tail",
        "taken_at",
        "taken_bytes",
        "unsent_bytes",
    )

    def __init__(self, model: Model, peer: SimPeer, protocol: Transport, capacity_bytes: int) -> None:
        self.model = model
        self.peer = peer
        self.protocol: asyncio.Protocol = protocol
        self.capacity_bytes = capacity_bytes
        self.kernel_bytes = 0
        self.unsent_bytes = 0
        self.paused = False
        self.progress_at = 0.0
        """When the kernel last took a byte of what had to wait."""
        self.reading = True
        self.taken_bytes = 0
        self.taken_at = 0.0
        """When the peer last took a byte."""
        self.far_until = 0.0
        """When so much was last taken that a ping is not far from its peer any more."""
        self.reset = False
        """Whether the server has its kernel throw away what the peer has not taken."""
        self.aborted = False
        """Whether the server ended it, and not the peer."""
        self.closing = False
        self.lost = False
        """`connection_lost` is on its way, and nothing more is sent."""
        self.closed = False
        self.eof_written = False
        self.eof_is_due = False
        self.process: SimProcess | None = None
        """Whose loop has it, where there are several."""
        self.is_leaving = False
        """Whether this loop lets go of it, and others have it."""
        self.tail = b""
        """What was written last, while it has an end that is not sent."""

    # What the protocol asks for.

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0
        assert not low

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def fileno(self) -> int:
        """As a socket of the kernel's."""
        return -1

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        raise OSError(level, option, size)

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER)
        self.reset = True

    def kernel_says(self, question: int) -> int:
        """How many bytes the server has not read, or the peer not taken."""
        if question == FIONREAD:
            return 0 if self.peer.reset else len(self.peer.outgoing)
        return self.kernel_bytes

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast("asyncio.Protocol", protocol)

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.process is not None and self.process.is_dead:
            return
        if self.closed:
            raise RuntimeError("unable to perform operation on a closed socket")
        if self.eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        peer = self.peer
        if peer.unsent:
            self._write_again(bytes(data))
            return
        frames = self.model.wrote(peer, peer.reading(bytes(data)))
        if self.lost:
            return
        if peer.reset and not self.unsent_bytes:
            self._force_close(BrokenPipeError(32, "Broken pipe"))
            return
        size = len(data)
        is_behind = self.paused or self.kernel_bytes >= FAR_BYTES
        if not self.unsent_bytes:
            if peer.reads:
                peer.take(frames)
                self.taken_at = self.model.now
                return
            peer.wait_for(frames, size)
            taken = min(size, self.capacity_bytes - self.kernel_bytes)
            self.kernel_bytes += taken
            if taken < size:
                self.unsent_bytes = size - taken
                self.tail = bytes(data)
                self.progress_at = self.model.now
                self.paused = peer.was_paused = True
                peer.note_standing(stands=True)
                self.protocol.pause_writing()
        else:
            if peer.close_written is None:
                self.model.fail(f"{peer}: {frames} written while it takes nothing")
            peer.wait_for(frames, size)
            self.unsent_bytes += size
            self.tail += data
        if peer.close_written is not None:
            peer.was_blocked_at_close = self.paused
            peer.was_behind_at_close = is_behind

    def _write_again(self, data: bytes) -> None:
        """The end of what another loop had written, of which its peer knows already."""
        peer, expected = self.peer, self.peer.unsent
        peer.unsent = b""
        if data != expected:
            self.model.fail(f"{peer}: {data!r} is written first, and {expected!r} was not sent")
        if self.lost:
            return
        if peer.reset:
            self._force_close(BrokenPipeError(32, "Broken pipe"))
            return
        size = len(expected)
        taken = size if peer.reads else max(0, min(size, self.capacity_bytes - self.kernel_bytes))
        self.kernel_bytes += taken
        if peer.reads:
            peer.start_reading()
        elif taken < size:
            self.unsent_bytes = size - taken
            self.tail = expected
            self.progress_at = self.model.now
            self.paused = peer.was_paused = True
            peer.note_standing(stands=True)
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        if self.process is not None and self.process.is_dead:
            return
        if self.closed:
            raise RuntimeError("unable to perform operation on a closed socket")
        self.eof_written = True
        if not self.unsent_bytes:
            self.peer.sees_end()

    def close(self) -> None:
        if self.closing:
            return
        if self.kernel_bytes >= FAR_BYTES and self.peer.accepted and not self.peer.reset:
            self.model.fail(f"{self.peer}: closed, and {self.kernel_bytes} bytes stay with the kernel")
        self.closing = True
        self.reading = False
        if not self.unsent_bytes:
            self._lose(None)

    def abort(self) -> None:
        peer, model = self.peer, self.model
        if peer.holders > 1:
            # Its connection goes on.
            self.is_leaving = True
            self._force_close(None)
            return
        untaken = self.unsent_bytes + self.kernel_bytes
        if untaken and not self.reset and not self.lost:
            model.fail(f"{peer}: cut off, and {untaken} bytes stay with the kernel")
        if untaken and peer.expected_close is not None and not cast("Shard", peer.transport.shard).aborting:
            until = model.patience_until(peer)
            if model.now < until - 1e-6:
                model.fail(f"{peer}: cut off at {model.now}, with {untaken} bytes on their way")
        self.aborted = not self.lost
        self._force_close(None)

    def pause_reading(self) -> None:
        if not self.closing:
            self.reading = False
            if self.model.is_behind(self.peer) or self.peer.transport.state is TransportState.STOPPED:
                self.peer.was_held = True
                self.peer.note_standing(stands=True)

    def resume_reading(self) -> None:
        peer = self.peer
        if not self.closing:
            # A loop that is to read on tells of the end once more.
            self.reading = True
            self.eof_is_due = peer.eof_delivered
            if not self.paused:
                peer.note_standing(stands=False)

    # What the kernel does, between two turns.

    def poll(self, most_bytes: int | None = None) -> None:
        """Hand over what the peer sent: its bytes, then its end."""
        if self.lost:
            return
        peer = self.peer
        if peer.reset:
            if self.reading or self.unsent_bytes:
                self._force_close(ConnectionResetError(104, "Connection reset by peer"))
            return
        if not self.reading:
            return
        if peer.outgoing:
            check_turn(self.model, peer)
            data = peer.hand_over(most_bytes)
            if not isinstance(self.protocol, Refusal):
                self.model.bytes_in += len(data)
            try:
                self.protocol.data_received(data)
            except BaseException as error:
                self.model.loop.reports.append({"message": "data_received raised", "exception": error})
        elif peer.eof and (not peer.eof_delivered or self.eof_is_due):
            peer.eof_delivered = True
            if not peer.eof_in_session:
                # The first time that its session hears of it counts.
                peer.eof_in_session = peer.accepted
                peer.eof_at = self.model.now
                peer.was_busy_at_eof = self.model.is_busy(peer)
            self.eof_is_due = False
            self.reading = False
            if not self.protocol.eof_received():
                self.close()

    def drain(self, taken_bytes: int) -> None:
        """The peer has read so many bytes of what the kernel holds."""
        if self.kernel_bytes >= FAR_BYTES:
            self.far_until = self.model.now
        self.kernel_bytes -= taken_bytes
        self.taken_bytes += taken_bytes
        self.taken_at = self.model.now
        if not self.unsent_bytes or (self.lost and not self.is_leaving):
            return
        moved = min(self.unsent_bytes, self.capacity_bytes - self.kernel_bytes)
        self.unsent_bytes -= moved
        self.kernel_bytes += moved
        if moved:
            self.progress_at = self.model.now
        if self.lost:
            return  # the loop writes until it has closed it, and says nothing of it
        if not self.unsent_bytes:
            self.paused = False
            if self.reading:
                self.peer.note_standing(stands=False)
            try:
                self.protocol.resume_writing()
            except BaseException as error:
                self.model.loop.reports.append({"message": "resume_writing raised", "exception": error})
            if not self.unsent_bytes:
                if self.closing:
                    self._lose(None)
                elif self.eof_written:
                    self.peer.sees_end()

    def _force_close(self, error: OSError | None) -> None:
        if self.lost:
            return
        self.closing = True
        self.reading = False
        self._lose(error)

    def _lose(self, error: OSError | None) -> None:
        if not self.lost:
            self.lost = True
            self.model.loop.call_soon(self._connection_lost, error)

    def _connection_lost(self, error: OSError | None) -> None:
        model, peer = self.model, self.peer
        if self.closed:
            return  # its process has died
        if self.is_leaving:
            self._left()
            return
        model.losing = peer
        try:
            self.protocol.connection_lost(error)
        finally:
            model.losing = None
            self.closed = True
            peer.holders -= 1
            peer.sees_end()

    def _left(self) -> None:
        """This loop has let go of it. Until now it has sent what the peer took."""
        peer = self.peer
        if self.unsent_bytes and peer.number % 2:
            peer.read(3)
        if self.unsent_bytes:
            peer.unsent = self.tail[-self.unsent_bytes :]
        peer.holders -= 1
        self.protocol.connection_lost(None)
        self.unsent_bytes = 0
        self.closed = not peer.holders
