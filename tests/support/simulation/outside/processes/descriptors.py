"""Descriptors of simulated sockets: who holds a connection, by how many of them, and how a process gives one to its loop.

One table per history. A connection lives as long as somebody holds it: a loop, a descriptor of some process, or a stream on
which one is on its way. When nobody does its peer sees the end.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from tests.support.simulation.outside.socket import SimSocket

if TYPE_CHECKING:
    import asyncio

    from tests.support.simulation.model.moves import MovingModel
    from tests.support.simulation.outside.peer import SimPeer
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["Descriptors", "SimDescriptor"]


class Descriptors:
    """See the module."""

    def __init__(self, model: MovingModel) -> None:
        self._model = model
        self._next = 100
        self.held: dict[int, tuple[SimProcess, SimPeer]] = {}
        self._gone: dict[int, tuple[SimProcess, SimPeer]] = {}
        """Those of processes that have died, which may go on with them for nothing."""

    # What processes do.

    def copy_of(self, client: SimSocket) -> int:
        """`os.dup`. Raises OSError where the process has none left."""
        process = client.process
        assert process is not None
        if process.shortage:
            process.shortage -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        self.hold(client.peer)
        return self.given(process, client.peer)

    def close(self, fd: int) -> None:
        """`os.close`."""
        entry = self.held.pop(fd, None)
        if entry is None and fd in self._gone:
            return
        if entry is None:
            self._model.fail(f"descriptor {fd} is closed twice")
            return
        self.release(entry[1])

    def socket_of(self, fd: int) -> SimDescriptor:
        """`stream_socket`."""
        return SimDescriptor(self, fd, (self.held.get(fd) or self._gone[fd])[1])

    def open_transport(self, loop: asyncio.AbstractEventLoop, client: SimDescriptor, protocol: Any) -> bool:
        """As the one of `transfer.opening`: the loop has the socket, and says so in its next turn."""
        if client.fd in self._gone:
            return False
        process, peer = self.held.pop(client.fd)
        if peer.reset and peer.number % 2:
            peer.was_refused_by_loop = True
            peer.transport = getattr(protocol, "transport", protocol)
            self.release(peer)
            return False
        old = peer.socket
        peer.socket = new = SimSocket(self._model, peer, protocol, old.capacity_bytes)
        new.process = process
        new.kernel_bytes, new.taken_bytes = old.kernel_bytes, old.taken_bytes
        new.taken_at, new.far_until = old.taken_at, old.far_until
        new.reading = False
        peer.transport = getattr(protocol, "transport", protocol)
        loop.call_soon(self._opened, new, protocol)
        return True

    def _opened(self, socket: SimSocket, protocol: Any) -> None:
        if socket.lost:
            return  # its process has died
        socket.reading = True
        self._model.opened(socket.peer)
        protocol.connection_made(socket)

    # Who holds what.

    def peer_of(self, fd: int) -> SimPeer:
        return self.held[fd][1]

    def hold(self, peer: SimPeer) -> None:
        peer.holders += 1

    def given(self, process: SimProcess, peer: SimPeer) -> int:
        """A number for what is held already."""
        self._next += 1
        self.held[self._next] = process, peer
        return self._next

    def release(self, peer: SimPeer) -> None:
        peer.holders -= 1
        if not peer.holders:
            socket = peer.socket
            socket.lost = socket.closing = socket.closed = True
            socket.reading = False
            peer.sees_end()

    def died(self, process: SimProcess) -> None:
        """All that it held is closed."""
        for fd in [fd for fd, (holder, _) in self.held.items() if holder is process]:
            self._gone[fd] = self.held[fd]
            self.release(self.held.pop(fd)[1])


class SimDescriptor:
    """A socket of a process that no loop has."""

    def __init__(self, table: Descriptors, fd: int, peer: SimPeer) -> None:
        self._table = table
        self.fd = fd
        self.peer = peer

    def recv(self, most_bytes: int) -> bytes:
        peer = self.peer
        if peer.reset:
            raise ConnectionResetError
        if not peer.outgoing:
            if peer.eof:
                return b""
            raise BlockingIOError
        data = peer.hand_over(most_bytes)
        peer.socket.model.bytes_in += len(data)
        return data

    def close(self) -> None:
        self._table.close(self.fd)
