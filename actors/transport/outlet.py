"""`Outlet`: the outbound half of a transport: what is written to the socket, and whether the peer takes it.

The base of `Movable`, and so of `Transport`, which alone is made. It knows no session and no state.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from wspulse.actors.transport.client import abort, is_behind, taken_bytes, unsent_bytes, untaken_bytes
from wspulse.actors.transport.contract import EndingShard
from wspulse.actors.transport.owed import Owed
from wspulse.actors.transport.patience.parting import KICK_WAIT_S, Parting, Patience
from wspulse.actors.transport.patience.write_watch import WriteWatch
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Outlet", "WritingShard", "write_nowhere"]


class WritingShard(EndingShard, Protocol):
    options: ServerOptions
    metrics: Metrics
    writing: Writing
    """Where what is written is kept before."""


S = TypeVar("S", bound=WritingShard)


class Outlet(asyncio.Protocol, ABC, Generic[S]):
    """See the module. `write` is the socket's own, so that a frame costs no call more."""

    __slots__ = ("_client", "_owed", "_watch", "blocked", "shard", "write")

    write: Callable[[bytes], object]

    def __init__(self, shard: S) -> None:
        self.shard = shard
        self.blocked = False
        """Whether the kernel takes no more."""
        self._owed: Owed | None = None
        self._watch: WriteWatch | None = None
        self._client: asyncio.Transport | None = None

    def _open_outlet(self, client: asyncio.Transport) -> None:
        self._client = client
        self.write = client.write
        # Write at once, and say so as soon as the kernel refuses a byte: exact backpressure, and the cheapest write.
        client.set_write_buffer_limits(high=0)

    def _write_again(self, unsent: bytes, owed: bytes) -> None:
        """Before anything else: the end of what was written when the socket was another process's, then what was owed."""
        self._owed = Owed.of(owed)
        if unsent:
            self.shard.writing.data = unsent
            self.write(unsent)
        if not self.blocked:
            self._write_owed()

    def _close_outlet(self) -> None:
        """The socket has ended, or is another's."""
        self._stop_watch()
        self._owed = self._client = None
        self.write = write_nowhere

    def abort(self) -> None:
        """Drop the socket now; `connection_lost` follows from the loop. It is reset where the peer has not taken everything."""
        abort(self._client)

    def _say(self, words: bytes, answer_s: float, at_once: bool) -> None:
        """Write the last bytes; what still comes is of no use from `answer_s` after they are out."""
        # Nothing may follow a close frame, and a write after the end of the stream raises.
        if self.blocked:
            self._owed = None
        else:
            self._write_owed()
        shard = self.shard
        shard.transport_ending(self)
        self._stop_watch()
        # What is on its way to a peer that takes it, however far away that is, is no sign that it takes nothing.
        is_cut_soon = at_once and (self.blocked or is_behind(self._client))
        shard.writing.data = words
        shard.metrics.bytes_out += len(words)
        self.write(words)
        write_wait_s = shard.options.write_wait
        stall_s = KICK_WAIT_S if is_cut_soon else write_wait_s if self.blocked else answer_s
        Parting(self, shard.at, shard.clock(), Patience(answer_s, stall_s, write_wait_s))

    def write_frames(self, wire: bytes, frames: int) -> None:
        """Write so many frames of the application at once; 0 for those of a protocol."""
        shard = self.shard
        shard.metrics.frames_out += frames
        shard.metrics.bytes_out += len(wire)
        shard.writing.data = wire
        self.write(wire)

    # Ahead of everything else.

    def ping(self, payload: bytes) -> None:
        """Ask the peer for a sign of life; where the kernel takes nothing now, as soon as it does."""
        self._owing().ping(payload)
        if not self.blocked:
            self._write_owed()

    def _owing(self) -> Owed:
        if self._owed is None:
            self._owed = Owed()
        return self._owed

    def _write_owed(self) -> None:
        owed, self._owed = self._owed, None
        if owed is not None:
            wire = self.shard.writing.data = owed.wire()
            self.shard.metrics.bytes_out += len(wire)
            self.write(wire)

    # Whether the peer takes it.

    @property
    def untaken_bytes(self) -> int:
        """How much the kernel holds that the peer has not taken."""
        return untaken_bytes(self._client)

    @property
    def taken_bytes(self) -> int:
        """A number that rises with what the peer takes."""
        return taken_bytes(self._client)

    @property
    def _written(self) -> bytes:
        """Of which the socket has not taken the end, while it is blocked."""
        return b"" if self._watch is None else self._watch.written

    @property
    def unsent_bytes(self) -> int:
        """How much was written that the peer has not taken."""
        return unsent_bytes(self._client)

    @abstractmethod
    def stalled(self) -> None:
        """The peer has taken nothing for `write_wait`."""

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the socket is gone, or another's."""

    @abstractmethod
    def patience_ends(self) -> None:
        """The last words are said, and the peer had its time."""

    def _watch_writing(self) -> None:
        """Watch from now on; bytes that were just added must not look like such that the peer does not take."""
        shard = self.shard
        self._stop_watch()
        self._watch = WriteWatch(self, shard.at, shard.clock(), shard.options.write_wait, shard.writing.data)

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None


def write_nowhere(_data: bytes) -> None:
    """For whoever still has a transport that is gone."""
