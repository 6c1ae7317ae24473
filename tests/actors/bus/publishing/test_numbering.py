"""`Numbering`: numbers that grow, and what is remembered of rooms."""

from __future__ import annotations

from wspulse.actors.bus.publishing.numbering import Numbering


def test_numbers_grow_over_rooms_and_marks_and_name_the_one_before_in_the_room() -> None:
    numbering = Numbering()
    assert numbering.next_in_room("a") == (1, 0)
    assert numbering.next_in_room("b") == (2, 0)
    assert numbering.next() == 3
    assert numbering.next_in_room("a") == (4, 1)
    assert numbering.next_in_room("b") == (5, 2)


def test_room_is_remembered_for_a_whole_period_and_forgotten_after_two() -> None:
    numbering = Numbering()
    numbering.next_in_room("a")
    numbering.end_period()
    assert numbering.next_in_room("a") == (2, 1)
    remembered = []
    for _ in range(2):
        numbering.end_period()
        remembered.append(numbering.remembers)
    assert remembered == [True, False]
    assert numbering.next_in_room("a") == (3, 0)


def test_many_short_lived_rooms_cost_bounded_memory() -> None:
    numbering = Numbering()
    for number in range(250_000):
        numbering.next_in_room(f"room {number}")
    assert len(numbering._last) + len(numbering._earlier) <= 100_000
    assert numbering.next_in_room("room 249999") == (250_001, 250_000)
