"""`Seating`: at which seats workers are, whose the connection ids are, and by which bus the workers broadcast to each other.

One per server, made by the supervisor. What changes here is told to everybody at once: all workers, and the supervisor's own
links to them; who comes later gets it with its start. A seat is free again when the process there has ended and that was told. It
decides nothing of who sits where.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from struct import Struct

from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.mesh.lifecycle import SeatGone, SeatOpened, SlotTable
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import SLOTS
from wspulse.supervisor.host.shared_file import SharedFile
from wspulse.supervisor.premises.mailbox_listeners import MailboxListeners

__all__ = ["NO_SEAT", "Seating", "packed"]

NO_SEAT = 65535
"""In what is packed, for a slot without."""

_packed = Struct(f"<{SLOTS}H")


def packed(seats: Sequence[int]) -> bytes:
    """One for each slot, as messages have them."""
    return _packed.pack(*seats)


class Seating:
    """See the module. `path_of(seat)` is where a worker there is reached; `tell` tells all."""

    def __init__(
        self, mailboxes: MailboxListeners, path_of: Callable[[int], str], tell: Callable[[Message], None]
    ) -> None:
        self.seats: list[int] = []
        """By slot: whose it is."""
        self.version = 0
        self.workers = 0
        """How many have slots, or are about to."""
        self.bus: tuple[str, str] | None = None
        """Push and subscribe endpoint for whoever is started; None while there is only one worker."""
        self.cluster: Callable[[], tuple[ClusterSeat, SharedFile]] | None = None
        """What each process that is started is told of the cluster, and the file of the host's lease; None without one."""
        self._mailboxes = mailboxes
        self._path_of = path_of
        self._tell = tell

    def begin(self, workers: int) -> None:
        """The seats, and the shares, of a server that starts with so many. Raises StartError."""
        self.workers = workers
        self.seats = [slot * workers // SLOTS for slot in range(SLOTS)]
        for _ in range(workers):
            self.open()

    def open(self) -> int:
        """Have a seat that is free taken, and tell all where it is. Raises StartError."""
        seat = next(seat for seat in range(len(self.paths) + 1) if seat not in self.paths)
        path = self._path_of(seat)
        self._mailboxes.open(seat, path)
        self._tell(SeatOpened(seat, path))
        return seat

    def release(self, seat: int) -> None:
        """Nobody is there any more, and it is free; tell all."""
        if seat in self.paths:
            self._mailboxes.close_seat(seat)
            self._tell(SeatGone(seat))

    def change(self, targets: Mapping[int, int], workers: int) -> None:
        """The slots of `targets` are other seats' from now on; tell all."""
        for slot, seat in targets.items():
            self.seats[slot] = seat
        self.workers = workers
        self.version += 1
        self._tell(self.table)

    @property
    def table(self) -> SlotTable:
        return SlotTable(self.version, self.workers, packed(self.seats))

    @property
    def paths(self) -> Mapping[int, str]:
        """By seat, of those that are taken."""
        return self._mailboxes.paths

    def mailbox(self, seat: int) -> socket.socket:
        return self._mailboxes.listeners[seat]

    def slots_of(self, seat: int) -> list[int]:
        return [slot for slot, owner in enumerate(self.seats) if owner == seat]
