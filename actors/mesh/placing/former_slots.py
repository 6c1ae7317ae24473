"""`FormerSlots`: the slots that were this process's, and whose they are since.

One per runtime. A process that has not adopted a table yet asks here about what is another's, or sends newcomers; it is told,
they are sent on. Of slots that never were ours we say nothing: a process to which sessions move decides before the table says
so. Nor of those that come back to us: once their owner has said so it sends here whoever asks, and were it sent back, also only
while the way between the two is broken, what is asked would overtake itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from wspulse.actors.mesh.placement import SLOTS, Placement

__all__ = ["FormerSlots"]


class FormerSlots:
    """See the module. `note_table` is to be called when the table has changed, `come_back` when slots are to be ours again, which
    all know that go by that table."""

    __slots__ = ("_former", "_own", "_placement", "_seat")

    def __init__(self, placement: Placement, seat: int) -> None:
        self._placement = placement
        self._seat = seat
        self._former: set[int] = set()
        self._own: set[int] = set()
        self.note_table()

    def note_table(self) -> None:
        owner_of_slot = self._placement.owner_of_slot
        own = {slot for slot in range(SLOTS) if owner_of_slot(slot) == self._seat}
        self._former = (self._former | self._own) - own
        self._own = own

    def come_back(self, slots: Iterable[int]) -> None:
        self._former.difference_update(slots)

    def owner_of(self, connection_id: str) -> int | None:
        """The seat that owns an id whose slot was ours; None for all others."""
        if not self._former:
            return None
        slot = self._placement.slot_of(connection_id)
        return self._placement.owner_of_slot(slot) if slot in self._former else None
