"""The wire form of bus messages, and the watch for missing ones."""

from __future__ import annotations

import pytest

from wspulse.actors.bus.message import (
    BusMessage,
    GapWatch,
    identity,
    mark_topic,
    pack,
    pack_but,
    pack_mark,
    room_of,
    room_topic,
    topic_of,
    unpack,
    unpack_mark,
    with_sequence,
)


@pytest.mark.parametrize("room_id", ["", "lobby", "größer", "\udcff half", "r" * 256])
@pytest.mark.parametrize("frames", [[b"one"], [b"one", b"", b"three"], [b"\xff" * 70_000], []])
def test_message_comes_back_as_it_was_packed(room_id: str, frames: list[bytes]) -> None:
    data = pack(room_topic(room_id), 2**63, 2**40, 2**40 - 1, frames)
    assert unpack(data) == BusMessage(room_id, 2**63, 2**40, 2**40 - 1, frames)


@pytest.mark.parametrize(("one", "other"), [("r", "room"), ("", "a"), ("a", "a\x00"), ("ä", "äb")])
def test_no_rooms_topic_begins_anothers(one: str, other: str) -> None:
    assert not room_topic(other).startswith(room_topic(one))
    assert not room_topic(one).startswith(room_topic(other))


def test_mark_comes_back_as_it_was_packed_and_is_for_one_shard() -> None:
    data = pack_mark(2, 3, 4_000_000_000, 2**40)
    assert unpack_mark(data) == (3, 4_000_000_000, 2**40)
    assert [shard for shard in (0, 2, 258, 1023) if data.startswith(mark_topic(shard))] == [2]


def _message(number: int, previous: int, sender: int = 1, room_id: str = "r") -> BusMessage:
    return BusMessage(room_id, sender, number, previous, [])


def test_message_whose_predecessor_did_not_come_is_a_gap() -> None:
    watch = GapWatch()
    watch.joined("r")
    assert watch.follows(_message(5, 3))  # the first one that this shard sees of the sender
    assert watch.follows(_message(6, 5))
    assert not watch.follows(_message(9, 8))
    assert watch.follows(_message(10, 9))


def test_message_with_an_unknown_predecessor_is_no_gap() -> None:
    watch = GapWatch()
    watch.joined("r")
    watch.follows(_message(5, 3))
    assert watch.follows(_message(9, 0))


def test_senders_and_rooms_are_counted_apart() -> None:
    watch = GapWatch()
    watch.joined("r")
    watch.joined("s")
    assert watch.follows(_message(1, 0, sender=1))
    assert watch.follows(_message(8, 7, sender=2))
    assert watch.follows(_message(2, 0, room_id="s"))
    assert watch.follows(_message(3, 1))
    assert watch.follows(_message(9, 8, sender=2))


def test_what_was_seen_is_forgotten_with_the_room() -> None:
    watch = GapWatch()
    watch.joined("r")
    watch.follows(_message(1, 0))
    watch.left("r")
    assert watch.follows(_message(7, 6))
    watch.joined("r")
    assert watch.follows(_message(9, 8))


def test_what_is_seen_in_a_room_is_bounded_however_often_its_senders_are_replaced() -> None:
    watch = GapWatch()
    watch.joined("r")
    for sender in range(10_000):
        assert watch.follows(_message(1, 0, sender=sender))
    assert len(watch._rooms["r"]) <= 4096
    assert not watch.follows(_message(3, 2, sender=9_999))


@pytest.mark.parametrize("excluded", [{"ann"}, {"ann", "bob", "\ud83d", "é" * 100}, {""}])
def test_frame_that_some_do_not_get_survives_its_wire_form(excluded: set[str]) -> None:
    data = pack_but(room_topic("den"), 3, 9, 4, b"\xff frame", frozenset(excluded))
    assert unpack(data) == BusMessage("den", 3, 9, 4, [b"\xff frame"], frozenset(excluded))


def test_extension_of_a_later_version_has_no_frame_and_breaks_nothing() -> None:
    data = bytearray(pack_but(room_topic("den"), 3, 9, 4, b"frame", frozenset({"ann"})))
    data[data.index(0xFF) + 1 + 36] = 2
    assert unpack(bytes(data)) == BusMessage("den", 3, 9, 4, [])


@pytest.mark.parametrize("excluded", [frozenset[str](), frozenset({"ann"})])
def test_sequence_that_the_gateway_writes_changes_nothing_else(excluded: frozenset[str]) -> None:
    topic = room_topic("d\ud83den")
    if excluded:
        data = pack_but(topic, 2**53 - 1, 9, 4, b"\xff frame", excluded)
    else:
        data = pack(topic, 2**53 - 1, 9, 4, [b"\xff frame", b"another"])
    assert topic_of(data) == topic
    assert room_of(topic) == "d\ud83den"
    assert identity(data, topic) == (2**53 - 1, 9)
    before = unpack(data)
    assert before.sequence == 0
    written = with_sequence(data, 2**64 - 1)
    assert written is not None
    assert unpack(written) == before._replace(sequence=2**64 - 1)


@pytest.mark.parametrize("data", [b"", b"none", room_topic("den"), room_topic("den") + bytes(20)])
def test_what_is_no_message_gets_no_sequence(data: bytes) -> None:
    assert with_sequence(data, 1) is None
