"""What a worker of a cluster takes for new, in rooms that it joins, has joined and has left."""

from __future__ import annotations

from wspulse.actors.bus.cluster.seen import SeenWatch
from wspulse.actors.bus.message import BusMessage


def message(number: int, previous: int = 0, sender: int = 1, room_id: str = "room") -> BusMessage:
    return BusMessage(room_id, sender, number, previous, [])


def test_messages_up_to_the_floor_and_those_that_were_there_are_not_new() -> None:
    watch = SeenWatch()
    watch.joined("room")
    watch.begins_at("room", 10)
    assert watch.seen("room") == 10
    assert not watch.is_new(message(1), 10)
    assert watch.is_new(message(2), 12)
    assert not watch.is_new(message(2), 12)
    assert not watch.is_new(message(1), 11)
    assert watch.is_new(message(3), 13)
    assert watch.seen("room") == 13


def test_message_that_is_in_the_stream_twice_is_new_once() -> None:
    watch = SeenWatch()
    watch.joined("room")
    watch.begins_at("room", 0)
    for number, sequence, sender, is_new in ((5, 1, 1, True), (3, 2, 2, True), (5, 3, 1, False), (6, 4, 1, True)):
        each = message(number, sender=sender)
        assert watch.is_new(each, sequence) == is_new
        assert not is_new or watch.follows(each)


def test_nothing_need_come_while_a_room_is_joined() -> None:
    watch = SeenWatch()
    watch.joined("room")
    for number, previous, sequence in ((1, 0, 4), (7, 5, 5)):
        assert watch.is_new(message(number, previous), sequence)
        assert watch.follows(message(number, previous))
    assert watch.seen("room") == 0
    watch.begins_at("room", 8)
    assert watch.is_new(message(9, 8), 9)
    assert watch.follows(message(9, 8)), "what came before the floor counts for nothing"
    assert watch.is_new(message(12, 10), 12)
    assert not watch.follows(message(12, 10))


def test_room_that_was_left_and_joined_again_begins_anew() -> None:
    watch = SeenWatch()
    watch.joined("room")
    watch.begins_at("room", 10)
    watch.left("room")
    assert watch.seen("room") == 0
    assert watch.is_new(message(1), 5), "whoever takes it looks whether it has the room"
    watch.joined("room")
    watch.begins_at("room", 20)
    assert not watch.is_new(message(1), 20)
    assert watch.is_new(message(1), 21)
