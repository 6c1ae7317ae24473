"""`SendLog`: what is not acknowledged, bounded to the frame, and what of it was never written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.rooms.backlog import Backlog, Batch

EVERYTHING = 1 << 60


def batch(*frames: bytes) -> Batch:
    return list(frames), sum(map(len, frames))


def kept(*batches: Batch, limit_frames: int = 8, limit_bytes: int = 1000) -> SendLog:
    log = SendLog(limit_frames, limit_bytes)
    for one in batches:
        log.keep(one)
    return log


def test_what_was_written_is_written_again_behind_what_the_client_has_got() -> None:
    log = kept(batch(b"0", b"1", b"2"), batch(b"3"))
    assert log.resume(1) == 0
    assert log.take(EVERYTHING) == (b"123", 3)
    assert (log.unsent, log.written) == (0, 4)


def test_acknowledged_frames_are_held_no_more() -> None:
    log = kept(batch(b"0", b"1"), batch(b"2"), batch(b"3"))
    assert log.acknowledge(3)
    assert (log.first, log.frames) == (3, 1)
    assert not log.acknowledge(3)
    assert log.acknowledge(4)
    assert (log.frames, log._batches) == (0, [])


def test_acknowledgement_in_the_middle_of_a_batch_cuts_it() -> None:
    log = kept(batch(b"0", b"1", b"2"))
    assert log.acknowledge(1)
    assert log.acknowledge(2)
    log.keep(batch(b"3"))
    assert log.resume(2) == 0
    assert log.take(EVERYTHING) == (b"23", 2)


@pytest.mark.parametrize("count", [-1, 1, 4])
def test_acknowledgement_of_less_than_before_or_more_than_was_written_is_refused(count: int) -> None:
    log = kept(batch(b"0", b"1", b"2"))
    log.acknowledge(2)
    with pytest.raises(ValueError, match="acknowledged"):
        log.acknowledge(count)
    assert (log.first, log.acknowledged) == (2, 2)


def test_what_was_not_written_cannot_be_acknowledged() -> None:
    log = kept(batch(b"0"))
    log.put(batch(b"1"))
    with pytest.raises(ValueError, match="acknowledged"):
        log.acknowledge(2)


def test_written_frames_are_pushed_out_without_a_word_and_missed_at_the_resume() -> None:
    log = kept(*(batch(b"%d" % number) for number in range(5)), limit_frames=2)
    assert (log.first, log.frames, log.gap) == (3, 2, 0)
    assert log.resume(1) == 2
    assert log.take(EVERYTHING) == (b"34", 2)


def test_frames_that_were_not_written_are_told_of_when_they_are_pushed_out() -> None:
    log = kept(batch(b"0"), limit_frames=2)
    assert [log.put(batch(b"%d" % number)) for number in (1, 2, 3, 4)] == [0, 0, 1, 1]
    assert log.take_gap() == 2
    assert log.gap == 0
    assert log.take(EVERYTHING) == (b"34", 2)
    assert log.written == 5


def test_count_that_an_earlier_transport_brought_can_be_claimed_behind_one_that_took_less() -> None:
    log = kept(batch(b"0", b"1", b"2", b"3"))
    assert log.resume(1) == 0  # a dial that was under way for long, whose peer takes nothing
    assert (log.written, log.sent) == (1, 4)
    assert log.resume(3) == 0
    assert log.take(EVERYTHING) == (b"3", 1)


def test_frames_that_were_pushed_out_and_not_told_of_are_in_no_count() -> None:
    log = kept(batch(b"0"), limit_frames=1)
    log.put(batch(b"1", b"2", b"3"))
    assert (log.first, log.gap, log.written, log.sent) == (3, 2, 1, 1)
    with pytest.raises(ValueError, match="acknowledged"):
        log.acknowledge(2)
    log.take_gap()
    assert log.acknowledge(3)


def test_log_has_room_until_what_is_not_written_fills_it() -> None:
    log = kept(batch(b"0"), batch(b"1"), limit_frames=2, limit_bytes=10)
    assert log.has_room(1)
    log.put(batch(b"2"))
    assert log.has_room(9)
    assert not log.has_room(10)
    was_full = log.full
    log.put(batch(b"3"))
    assert (was_full, log.full, log.has_room(0)) == (False, True, False)


def test_newest_frame_is_held_however_large_it_is() -> None:
    log = kept(batch(b"0"), limit_bytes=4)
    assert log.put(batch(b"1", b"x" * 100)) == 1
    assert (log.frames, log.gap) == (1, 1)
    assert log.take(1) == (b"x" * 100, 1)


def test_take_gives_as_many_of_the_oldest_as_fit_across_batches() -> None:
    log = kept(batch(b"written"))
    log.put(batch(b"aa", b"bb"))
    log.put(batch(b"cc", b"dd"))
    assert log.take(6) == (b"aabbcc", 3)
    assert log.take(6) == (b"dd", 1)


def test_batch_that_members_share_is_left_as_it_is() -> None:
    shared = batch(b"0", b"1", b"2")
    one, other = kept(shared), kept(shared, limit_frames=2)
    one.acknowledge(2)
    assert shared == ([b"0", b"1", b"2"], 3)
    assert (one.frames, other.frames) == (1, 2)


def test_log_of_a_session_that_has_ended_holds_nothing() -> None:
    log = kept(batch(b"0", b"1"))
    log.put(batch(b"2"))
    log.clear()
    assert (log.frames, log.unsent, log.gap, log._batches, log._bytes) == (0, 0, 0, [], 0)


sizes = st.lists(st.integers(0, 12), min_size=1, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), sizes),
        st.tuples(st.just("room"), sizes),
        st.tuples(st.just("room without us"), sizes),
        st.tuples(st.just("follow"), st.just(0)),
        st.tuples(st.just("block"), st.just(0)),
        st.tuples(st.just("read on"), st.integers(1, 30)),
        st.tuples(st.just("acknowledge"), st.floats(0, 1)),
        st.tuples(st.just("come back"), st.floats(0, 1)),
    ),
    max_size=60,
)


class Client:
    """Gets what is written, in order, and jumps over what it is told that it has lost."""

    def __init__(self) -> None:
        self.count = 0
        self.got: list[int] = []
        self.lost = 0

    def read(self, wire: bytes) -> None:
        for piece in wire.split(b";")[:-1]:
            number = int(piece.split(b",")[0])
            assert number == self.count
            self.got.append(number)
            self.count += 1

    def miss(self, lost: int) -> None:
        self.count += lost
        self.lost += lost


@given(st.integers(1, 6), st.integers(8, 80), st.booleans(), steps)
def test_client_gets_every_frame_once_in_order_or_is_told(
    limit_frames: int,
    limit_bytes: int,
    others: bool,
    drawn: list,  # type: ignore[type-arg]
) -> None:
    log, client = SendLog(limit_frames, limit_bytes), Client()
    backlog = Backlog(limit_frames, limit_bytes)
    if others:
        # One who never acknowledges anything.
        SendLog(limit_frames, limit_bytes).follow(backlog, "other")
    sent = 0
    is_blocked = False
    wires: list[bytes] = []

    def frames_of(sizes: list[int]) -> list[bytes]:
        nonlocal sent
        frames = [b"%d,%s;" % (sent + at, b"x" * size) for at, size in enumerate(sizes)]
        sent += len(frames)
        wires.extend(frames)
        return frames

    for kind, value in drawn:
        if kind == "send" or (kind == "room" and not log.follows):
            frames = frames_of(value)
            if is_blocked:
                log.put(batch(*frames))
            else:
                log.keep(batch(*frames))
                client.read(b"".join(frames))
        elif kind == "room":
            frames = frames_of(value)
            backlog.append(*batch(*frames))
            client.read(b"".join(frames))
        elif kind == "room without us" and backlog.followers:
            strange = batch(*(b"strange" for _ in value))
            if log.follows:
                backlog.append_but(*strange, frozenset({"me", "nobody"}))
            else:
                backlog.append(*strange)
        elif kind == "follow" and not is_blocked:
            log.follow(backlog, "me")
        elif kind == "block":
            is_blocked = True
            log.unfollow()
        elif kind == "read on" and is_blocked:
            client.miss(log.take_gap())
            if log.unsent:
                wire, count = log.take(value)
                assert wire.count(b";") == count
                client.read(wire)
            is_blocked = log.unsent > 0
        elif kind == "acknowledge":
            told = log.acknowledged + int(value * (client.count - log.acknowledged))
            log.acknowledge(told)
        elif kind == "come back":
            # It had not read all that was written.
            had = log.acknowledged + int(value * (client.count - log.acknowledged))
            client.got = [number for number in client.got if number < had]
            client.count = had
            log.unfollow()
            client.miss(log.resume(had))
            is_blocked = log.unsent > 0
        # To the frame: the longest end of what was sent that fits, but for what is acknowledged.
        held, size = 0, 0
        for wire in reversed(wires[log.acknowledged :]):
            if held and (held == limit_frames or size + len(wire) > limit_bytes):
                break
            held, size = held + 1, size + len(wire)
        assert log.first + log.frames == sent
        if log.follows:
            # What of it stands elsewhere is cut when it is taken over.
            assert log.frames >= held
            continue
        assert (log.frames, log._bytes) == (held, size)
        assert sum(len(frames) for frames, _ in log._batches) - log._skipped == log.frames
        assert log._unsent_bytes == sum(map(len, wires[sent - log.unsent :]))
        assert log.has_room(0) or log.full
    assert client.count == log.written
    log.unfollow()
    while log.unsent or log.gap:
        client.miss(log.take_gap())
        client.read(log.take(EVERYTHING)[0])
    assert client.count == sent
