"""`Backlog`: what a room writes, kept once for all followers, as long as one of them needs it and the bounds allow."""

from __future__ import annotations

from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.rooms.backlog import Backlog

EVERYTHING = 1 << 60


def followed(*names: str, limit_frames: int = 8, limit_bytes: int = 1000) -> tuple[Backlog, list[SendLog]]:
    backlog = Backlog(limit_frames, limit_bytes)
    logs = [SendLog(limit_frames, limit_bytes) for _ in names]
    for name, log in zip(names, logs, strict=True):
        log.follow(backlog, name)
    return backlog, logs


def written(backlog: Backlog, *frames: bytes) -> None:
    backlog.append(list(frames), sum(map(len, frames)))


def held(backlog: Backlog) -> list[bytes]:
    return [wire for frames, _ in backlog._batches for wire in frames]


def again(log: SendLog, count: int) -> tuple[int, bytes]:
    """What a client that has got so many has lost, and gets again."""
    log.unfollow()
    lost = log.resume(count)
    return lost, log.take(EVERYTHING)[0] if log.unsent else b""


def test_each_follower_gets_what_it_has_not_acknowledged() -> None:
    backlog, (one, other) = followed("one", "other")
    written(backlog, b"0", b"1")
    written(backlog, b"2")
    one.acknowledge(1)
    assert again(one, 1) == (0, b"12")
    assert again(other, 0) == (0, b"012")


def test_frames_of_its_own_keep_their_place_among_those_of_the_room() -> None:
    backlog, (one, other) = followed("one", "other")
    written(backlog, b"0")
    one.keep(([b"a"], 1))
    written(backlog, b"1")
    one.keep(([b"b"], 1))
    assert again(one, 0) == (0, b"0a1b")
    assert again(other, 0) == (0, b"01")


def test_nothing_is_held_when_all_have_acknowledged_all() -> None:
    backlog, (one, other) = followed("one", "other")
    written(backlog, b"0", b"1")
    one.acknowledge(2)
    assert held(backlog) == [b"0", b"1"]
    other.acknowledge(2)
    assert held(backlog) == []
    written(backlog, b"2")
    assert again(other, 2) == (0, b"2")


def test_nothing_is_held_when_those_who_needed_it_are_gone() -> None:
    backlog, (one, other) = followed("one", "other")
    written(backlog, b"0")
    one.acknowledge(1)
    other.clear()
    assert held(backlog) == []
    one.unfollow()
    assert backlog.followers == {}


def test_what_all_have_acknowledged_is_let_go_of_while_the_room_goes_on() -> None:
    backlog, logs = followed("one", "other", limit_frames=40)
    for number in range(200):
        written(backlog, b"%d" % number)
        for log in logs:
            # Never all of it.
            log.acknowledge(number)
    assert len(held(backlog)) <= 12


def test_one_who_never_acknowledges_costs_no_more_than_the_bounds() -> None:
    backlog, (one, _) = followed("one", "other", limit_frames=16, limit_bytes=100)
    most = 0
    for number in range(200):
        written(backlog, b"%03d" % number)
        one.acknowledge(number + 1)
        most = max(most, len(held(backlog)))
    assert most <= 20
    for _ in range(20):
        written(backlog, b"x" * 40)
        most = max(most, sum(map(len, held(backlog))))
    assert most <= 100 + 40 + 40


def test_frames_beyond_the_bounds_are_lost_to_the_frame() -> None:
    backlog, (one, other) = followed("one", "other", limit_frames=4)
    one.keep(([b"a"], 1))
    for number in range(10):
        written(backlog, b"%d" % number)
    assert again(one, 0) == (7, b"6789")
    other.acknowledge(9)
    assert again(other, 8) == (1, b"9")


def test_whoever_is_left_out_of_a_frame_neither_gets_nor_counts_it() -> None:
    backlog, (one, other) = followed("one", "other")
    written(backlog, b"0")
    backlog.append_but([b"1"], 1, frozenset({"one", "nobody"}))
    written(backlog, b"2")
    assert (one.written, other.written) == (2, 3)
    assert again(one, 0) == (0, b"02")
    assert again(other, 0) == (0, b"012")


def test_one_who_follows_later_gets_what_was_written_since() -> None:
    backlog, (_,) = followed("one")
    written(backlog, b"0")
    late = SendLog(8, 1000)
    late.follow(backlog, "late")
    written(backlog, b"1")
    assert late.written == 1
    assert again(late, 0) == (0, b"1")


def test_newest_frame_is_held_however_large_it_is() -> None:
    backlog, (one,) = followed("one", limit_bytes=8)
    written(backlog, b"0")
    written(backlog, b"x" * 50)
    assert again(one, 0) == (1, b"x" * 50)
