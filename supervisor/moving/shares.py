"""Which slots go to which seat, when workers come and go: `handed_out` and `balanced`. No I/O.

Behind both every seat has the same number of slots, or one more; no slot moves that need not.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

__all__ = ["balanced", "handed_out"]


def balanced(owners: Sequence[int], seats: Sequence[int]) -> dict[int, int]:
    """What is to change for these seats to have all slots, in equal shares: slot → seat. `owners` has the seat of each slot.

    Who has most keeps one more where shares cannot be equal, so that as few as possible move.
    """
    held: dict[int, list[int]] = {seat: [] for seat in seats}
    homeless: list[int] = []
    for slot, owner in enumerate(owners):
        held.get(owner, homeless).append(slot)
    share, more = divmod(len(owners), len(seats))
    # A stable order: of those that have equally many, the earlier seat has the larger share.
    order = sorted(seats, key=lambda seat: -len(held[seat]))
    shares = {seat: share + (place < more) for place, seat in enumerate(order)}
    for seat in seats:
        homeless += held[seat][shares[seat] :]
    homeless.sort()
    targets: dict[int, int] = {}
    for seat in seats:
        for _ in range(shares[seat] - len(held[seat])):
            targets[homeless.pop()] = seat
    return targets


def handed_out(owners: Sequence[int], leaving: int, seats: Sequence[int]) -> dict[int, int]:
    """What is to change for one seat to have no slot any more: slot → which of `seats`, those first that have least."""
    counts = [(owners.count(seat), place, seat) for place, seat in enumerate(seats)]
    heapify(counts)
    targets: dict[int, int] = {}
    for slot, owner in enumerate(owners):
        if owner == leaving:
            count, place, seat = counts[0]
            targets[slot] = seat
            heapreplace(counts, (count + 1, place, seat))
    return targets
