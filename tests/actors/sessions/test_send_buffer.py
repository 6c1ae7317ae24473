"""`SendBuffer`: bounded, in order, the oldest dropped."""

from __future__ import annotations

from wspulse.actors.sessions.send_buffer import SendBuffer


def _filled(limit_frames: int, *frames: bytes) -> SendBuffer:
    buffer = SendBuffer(limit_frames)
    for frame in frames:
        buffer.push(frame)
    return buffer


def test_buffer_gives_its_frames_in_the_order_of_the_pushes() -> None:
    assert _filled(4, b"1", b"2", b"3").take_all() == (b"123", 3)


def test_full_buffer_drops_the_oldest_frame_and_says_so() -> None:
    buffer = SendBuffer(2)
    assert [buffer.push(frame) for frame in (b"1", b"2", b"3", b"4")] == [False, False, True, True]
    assert len(buffer) == 2
    assert buffer.take_all() == (b"34", 2)


def test_buffer_is_full_at_its_limit_and_not_before() -> None:
    assert not _filled(2, b"1").full
    assert _filled(2, b"1", b"2").full
    buffer = _filled(2, b"1", b"2")
    buffer.take(1)
    assert not buffer.full


def test_buffer_of_one_frame_keeps_the_newest() -> None:
    assert _filled(1, b"1", b"2").take_all() == (b"2", 1)


def test_take_gives_as_many_of_the_oldest_as_fit() -> None:
    buffer = _filled(4, b"aaa", b"bbb", b"cc")
    assert buffer.take(6) == (b"aaabbb", 2)
    assert buffer.take(6) == (b"cc", 1)


def test_take_gives_one_frame_when_even_that_is_too_big() -> None:
    buffer = _filled(4, b"aaaa", b"b")
    assert buffer.take(2) == (b"aaaa", 1)
    assert len(buffer) == 1


def test_empty_buffer_is_false_and_gives_nothing() -> None:
    buffer = SendBuffer(3)
    assert not buffer
    assert buffer.take_all() == (b"", 0)
