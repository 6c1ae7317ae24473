"""Which slots go where when workers come and go: any walk of their number."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from wspulse.supervisor.moving.shares import balanced, handed_out

SLOTS = 1024


def least(owners: list[int], seats: list[int]) -> int:
    """How many slots must move at least, for these seats to have all in equal shares."""
    held = Counter(owner for owner in owners if owner in seats)
    share, more = divmod(len(owners), len(seats))
    counts = sorted((held[seat] for seat in seats), reverse=True)
    return len(owners) - sum(min(count, share + (place < more)) for place, count in enumerate(counts))


def applied(owners: list[int], targets: dict[int, int]) -> list[int]:
    return [targets.get(slot, owner) for slot, owner in enumerate(owners)]


def check(owners: list[int], seats: list[int]) -> None:
    counts = Counter(owners)
    assert set(counts) <= set(seats), "every slot has an owner who is there"
    assert all(abs(counts[seat] - SLOTS / len(seats)) < 1 for seat in seats)


@given(st.lists(st.integers(1, 40), min_size=2, max_size=8))
def test_any_walk_leaves_equal_shares_and_moves_no_slot_that_need_not(walk: list[int]) -> None:
    seats = list(range(walk[0]))
    owners = [slot * len(seats) // SLOTS for slot in range(SLOTS)]
    check(owners, seats)
    for count in walk[1:]:
        before, moved = owners, 0
        wanted = least(owners, [*seats, *range(max(seats) + 1, max(seats) + 1 + count - len(seats))][:count])
        while len(seats) > count:
            leaving = seats.pop()
            targets = handed_out(owners, leaving, seats[:count])
            assert {owners[slot] for slot in targets} == {leaving}
            moved += len(targets)
            owners = applied(owners, targets)
            assert leaving not in owners
        free = (seat for seat in range(10_000) if seat not in seats)
        while len(seats) < count:
            seats.append(next(free))
        targets = balanced(owners, seats)
        assert all(owners[slot] != seat for slot, seat in targets.items()), "nothing moves to where it is"
        moved += len(targets)
        owners = applied(owners, targets)
        check(owners, seats)
        assert moved == wanted
        assert len(before) == len(owners)


@given(st.lists(st.integers(0, 9), min_size=SLOTS, max_size=SLOTS), st.sets(st.integers(0, 12), min_size=1))
def test_any_table_can_be_balanced_with_the_fewest_moves(owners: list[int], present: set[int]) -> None:
    seats = sorted(present)
    targets = balanced(owners, seats)
    assert len(targets) == least(owners, seats)
    check(applied(owners, targets), seats)


def test_more_workers_than_slots_for_equal_shares_have_one_or_none() -> None:
    seats = list(range(1024))
    targets = balanced([0] * SLOTS, seats)
    assert Counter(applied([0] * SLOTS, targets)) == Counter(seats)
