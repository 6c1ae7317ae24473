"""What a line has to send: its order, its bound, and what is sent again."""

from __future__ import annotations

import pytest

from wspulse.actors.client.outbox import Outbox, OutboxFullError, Outgoing
from wspulse.actors.values.frame import Frame


def outgoing(name: str, message: str = "12345", *, is_answer: bool = False) -> Outgoing:
    return Outgoing(Frame(name, id=name), message, is_answer)


def outbox_of(*names: str, most_frames: int = 10, most_bytes: int = 1000, keeps: bool = True) -> Outbox:
    outbox = Outbox(most_frames, most_bytes)
    outbox.keeps = keeps
    for name in names:
        outbox.push(outgoing(name))
    return outbox


def write(outbox: Outbox, count: int = 100) -> list[str]:
    """The names of what is written, up to `count`."""
    found: list[str] = []
    while len(found) < count and (item := outbox.next()):
        found.append(item.frame.event)
    return found


def test_what_was_not_acknowledged_is_written_again_before_what_waits() -> None:
    outbox = outbox_of("a", "b", "c", "d")
    assert write(outbox, 3) == ["a", "b", "c"]
    outbox.acknowledge(1)
    outbox.connection_ended()
    outbox.acknowledge(2)
    assert write(outbox) == ["c", "d"]


def test_what_is_not_kept_is_written_once() -> None:
    outbox = outbox_of("a", "b", keeps=False)
    assert write(outbox, 1) == ["a"]
    outbox.connection_ended()
    assert len(outbox) == 1
    assert write(outbox) == ["b"]


def test_bound_counts_what_waits_and_what_is_not_acknowledged() -> None:
    outbox = outbox_of("a", "b", most_frames=2)
    write(outbox)
    with pytest.raises(OutboxFullError):
        outbox.push(outgoing("c"))
    outbox.acknowledge(1)
    outbox.push(outgoing("c"))
    assert not outbox.has_room()


def test_bound_in_bytes_lets_one_large_frame_through_alone() -> None:
    outbox = outbox_of(most_bytes=10)
    outbox.push(outgoing("large", "x" * 100))
    assert not outbox.has_room(1)
    write(outbox)
    outbox.acknowledge(1)
    outbox.push(outgoing("a"))
    outbox.push(outgoing("b"))
    with pytest.raises(OutboxFullError):
        outbox.push(outgoing("c"))


@pytest.mark.parametrize("count", [-1, 0, 4, 10**30])
def test_acknowledgement_that_falls_or_is_of_what_was_not_written_is_refused(count: int) -> None:
    outbox = outbox_of("a", "b", "c", "d")
    write(outbox, 3)
    outbox.acknowledge(1)
    with pytest.raises(ValueError, match=r"frames acknowledged, of 3 sent"):
        outbox.acknowledge(count)
    outbox.connection_ended()
    with pytest.raises(ValueError, match=r"frames acknowledged, of 3 sent"):
        outbox.acknowledge(count)
    assert write(outbox) == ["b", "c", "d"]


def test_acknowledgement_says_whether_it_is_new() -> None:
    outbox = outbox_of("a")
    write(outbox)
    assert [outbox.acknowledge(0), outbox.acknowledge(1), outbox.acknowledge(1)] == [False, True, False]


def test_frame_is_withdrawn_only_before_it_was_ever_written() -> None:
    outbox = outbox_of()
    items = [outgoing("same") for _ in range(3)]
    for item in items:
        outbox.push(item)
    write(outbox, 1)
    outbox.connection_ended()
    assert [outbox.withdraw(item) for item in items] == [False, True, True]
    assert len(outbox) == 1
    assert not outbox.withdraw(outgoing("same"))


def test_another_session_gets_what_was_never_written_but_no_answers() -> None:
    outbox = outbox_of("a", "b", "c")
    outbox.push(outgoing("answer", is_answer=True))
    outbox.push(outgoing("d"))
    write(outbox, 2)
    assert [item.frame.event for item in outbox.begin_anew()] == ["a", "b"]
    assert outbox.waiting_ids() == {"c", "d"}
    assert write(outbox) == ["c", "d"]
    assert outbox.sent == 2


def test_bytes_are_given_back_on_every_way_out() -> None:
    outbox = outbox_of("a", "b", "c", "d", "e", most_bytes=25)
    assert not outbox.has_room(1)
    write(outbox, 3)
    outbox.acknowledge(1)  # 4 left
    outbox.begin_anew()  # 2 left
    for name in ("f", "g", "h"):
        outbox.push(outgoing(name))
    assert not outbox.has_room(1)
    outbox.keeps = False
    write(outbox)
    assert outbox.has_room(25)


def test_what_was_written_again_counts_once() -> None:
    outbox = outbox_of("a", "b")
    write(outbox)
    outbox.connection_ended()
    assert outbox.sent == 2
    assert write(outbox) == ["a", "b"]
    assert outbox.sent == 2
    outbox.push(outgoing("c"))
    assert [item.frame.event for item in outbox.begin_anew()] == ["a", "b"]


def test_frame_is_gone_when_those_before_it_are_whatever_becomes_of_later_ones() -> None:
    outbox = outbox_of("a", "b")
    write(outbox)
    later = outgoing("c")
    outbox.push(later)
    assert outbox.withdraw(later)
    assert not outbox.is_gone(2)
    outbox.acknowledge(1)
    assert outbox.is_gone(1)
    assert not outbox.is_gone(2)
    outbox.acknowledge(2)
    assert outbox.is_gone(2)


def test_what_is_acknowledged_before_it_is_written_again_is_sent_and_not_handed_back() -> None:
    outbox = outbox_of("a", "b")
    write(outbox)
    outbox.connection_ended()
    outbox.push(outgoing("c"))
    outbox.acknowledge(1)
    assert outbox.sent == 2
    assert [item.frame.event for item in outbox.begin_anew()] == ["b"]
