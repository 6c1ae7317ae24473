"""`SendBuffer`: bounded, in order, the oldest dropped."""

from __future__ import annotations

from wspulse.actors.sessions.send_buffer import SendBuffer


def _filled(limit_frames: int, *frames: bytes, limit_bytes: int = 1000) -> SendBuffer:
    buffer = SendBuffer(limit_frames, limit_bytes)
    for frame in frames:
        buffer.push(frame)
    return buffer


def test_buffer_gives_its_frames_in_the_order_of_the_pushes() -> None:
    assert _filled(4, b"1", b"2", b"3").take_all() == (b"123", 3)


def test_full_buffer_drops_the_oldest_frame_and_says_so() -> None:
    buffer = SendBuffer(2, 1000)
    assert [buffer.push(frame) for frame in (b"1", b"2", b"3", b"4")] == [0, 0, 1, 1]
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
    buffer = SendBuffer(3, 1000)
    assert not buffer
    assert buffer.take_all() == (b"", 0)


def test_full_buffer_in_bytes_drops_as_many_of_the_oldest_as_the_newer_one_needs() -> None:
    buffer = SendBuffer(9, 10)
    assert [buffer.push(frame) for frame in (b"aaaa", b"bbbb", b"cc", b"dd", b"eeeeeeee")] == [0, 0, 0, 1, 2]
    assert buffer.take_all() == (b"ddeeeeeeee", 2)


def test_buffer_has_room_for_what_drops_nothing() -> None:
    buffer = _filled(3, b"aaaa", limit_bytes=10)
    assert buffer.has_room(6)
    assert not buffer.has_room(7)
    buffer.take(1)
    assert buffer.has_room(1000)
    assert not _filled(1, b"a").has_room(0)


def test_one_frame_has_room_however_large_it_is_and_fills_the_buffer() -> None:
    buffer = SendBuffer(9, 10)
    assert buffer.push(b"x" * 100) == 0
    assert buffer.full
    assert buffer.push(b"y") == 1
    assert not buffer.full


def test_buffer_that_was_emptied_has_all_its_bytes_again() -> None:
    buffer = _filled(9, b"aaaa", b"bbbb", limit_bytes=10)
    buffer.take_all()
    assert buffer.has_room(10)
    buffer.push(b"cccc")
    buffer.take(4)
    assert not buffer.full
    assert [buffer.push(b"x" * 5) for _ in range(3)] == [0, 0, 1]
