"""`SimStream`: one end of the stream on which sessions move between two simulated processes, with their descriptors.

Two are made by `connected`; they carry envelopes as they are, in their order, each when the history lets it arrive. What was sent
before an end was closed still arrives at the other one, unless that process has died, or the kernel had not taken it yet; a
descriptor that does not is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support.simulation.outside.processes.network import SimNetwork, Wire
from wspulse.actors.mesh.placing.moves import BatchCommitted

if TYPE_CHECKING:
    from tests.support.simulation.outside.peer import SimPeer
    from tests.support.simulation.outside.processes.descriptors import Descriptors
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["SimStream", "connected"]

_Take = Callable[[Any, int | None], object]


class SimStream:
    """See the module, and `mesh.stream`."""

    def __init__(self, network: SimNetwork, process: SimProcess, descriptors: Descriptors) -> None:
        self.process = process
        self.ended = False
        self.other: SimStream
        self.take: _Take
        self.on_end: Callable[[], object]
        self.is_slow = False
        """Whether the kernel takes a commit only when it arrives."""
        self.shortage = False
        """Whether the process has no descriptor free when the next one comes."""
        self._descriptors = descriptors
        self._incoming = Wire(network, process)

    def send(self, envelope: Any, fd: int | None = None) -> None:
        if self.ended:
            return
        other = self.other
        if fd is None:
            other._incoming.put(partial(other._arrives, envelope, None))
            return
        peer = self._descriptors.peer_of(fd)
        self._descriptors.hold(peer)
        other._incoming.put(partial(other._arrives, envelope, peer), partial(self._descriptors.release, peer))

    def flush(self) -> None:
        """All is on its way already."""

    @property
    def backlogged(self) -> bool:
        return self.is_slow and self.other.carries_commit

    def close(self) -> None:
        if self.ended:
            return
        if self.backlogged:
            self.other._incoming.clear()
        self._end()
        if not self.other.ended:
            self.other._incoming.put(self.other._other_ended)

    def tear(self) -> None:
        """It ends at both ends, with what is on its way; but not where that is a commit: no stream loses what it has taken while
        both processes live, and who cannot take one more descriptor has not built the batch."""
        if self.carries_commit or self.other.carries_commit:
            return
        for stream in (self, self.other):
            if not stream.ended:
                stream._end()

    @property
    def carries_commit(self) -> bool:
        return any(
            isinstance(item.arrives, partial) and item.arrives.args and isinstance(item.arrives.args[0], BatchCommitted)
            for item in self._incoming.items
        )

    def died(self) -> None:
        """The process of this end has: what it had sent still arrives."""
        self.ended = True
        self._incoming.cut()
        if not self.other.ended:
            self.other._incoming.put(self.other._other_ended)

    def _arrives(self, envelope: Any, peer: SimPeer | None) -> None:
        fd = None
        if peer is not None:
            if self.shortage:
                self._descriptors.release(peer)
                self.tear()
                return
            fd = self._descriptors.given(self.process, peer)
        self.take(envelope, fd)

    def _other_ended(self) -> None:
        if not self.ended:
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._incoming.cut()
        self.on_end()


def connected(
    network: SimNetwork, one: SimProcess, other: SimProcess, descriptors: Descriptors
) -> tuple[SimStream, SimStream]:
    """The two ends of a stream; both are to be told who takes."""
    first, second = SimStream(network, one, descriptors), SimStream(network, other, descriptors)
    first.other, second.other = second, first
    return first, second
