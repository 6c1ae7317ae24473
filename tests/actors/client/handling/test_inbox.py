"""What has come over a line and waits: in order, and bounded."""

from __future__ import annotations

from wspulse.actors.client.handling.inbox import Inbox
from wspulse.actors.values.frame import Frame


def test_frames_and_news_come_out_in_the_order_in_which_they_went_in() -> None:
    inbox = Inbox()
    inbox.put(Frame("a"), 1)
    inbox.put_news(Frame("news"))
    inbox.put(Frame("b"), 1)
    taken = [inbox.take() for _ in range(4)]
    assert [item and (item.frame.event, item.is_news) for item in taken] == [
        ("a", False),
        ("news", True),
        ("b", False),
        None,
    ]


def test_inbox_is_full_by_frames_or_bytes_and_has_more_room_while_a_call_waits() -> None:
    inbox = Inbox()
    for _ in range(256):
        assert inbox.has_room(is_asking=False)
        inbox.put(Frame("a"), 1)
    assert not inbox.has_room(is_asking=False)
    for _ in range(256):
        assert inbox.has_room(is_asking=True)
        inbox.put(Frame("a"), 1)
    assert not inbox.has_room(is_asking=True)
    for _ in range(257):
        inbox.take()
    assert inbox.has_room(is_asking=False)
    inbox.put(Frame("a"), 4 << 20)
    assert not inbox.has_room(is_asking=False)
    assert inbox.has_room(is_asking=True)
    inbox.put(Frame("a"), 1 << 20)
    assert not inbox.has_room(is_asking=True)


def test_news_of_lost_frames_do_not_give_way_to_news_of_the_line() -> None:
    inbox = Inbox()
    inbox.put_news(Frame("wspulse.lost", 1))
    for number in range(1000):
        inbox.put_news(Frame("wspulse.state", number))
    item = inbox.take()
    assert item is not None
    assert item.frame == Frame("wspulse.lost", 1)


def test_news_of_a_line_that_comes_and_goes_while_a_handler_hangs_are_bounded() -> None:
    inbox = Inbox()
    inbox.put(Frame("a"), 1)
    for number in range(1000):
        inbox.put_news(Frame("news", number))
    frames = [item.frame for item in iter(inbox.take, None)]
    assert [frame.payload for frame in frames[1:]] == list(range(744, 1000))
    assert frames[0].event == "a"
    assert inbox.has_room(is_asking=False)
