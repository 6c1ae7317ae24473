"""`Room`: the fan-out of one turn's frames to swift and to slow members."""

from __future__ import annotations

from wspulse.actors.sessions.exact.log import SendLog
from wspulse.actors.sessions.room import Room
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.metrics import Metrics


class _Member:
    """As much of a session as a room sees."""

    def __init__(self, room: Room[_Member], *, blocks_after: int | None = None, id: str = "m") -> None:  # noqa: A002
        self.id = id
        self.room = room
        self.written: list[bytes] = []
        self.buffered: list[bytes] = []
        self._blocks_after = blocks_after
        room.set_swift(self, self.write)

    def write(self, wire: bytes) -> None:
        self.written.append(wire)
        if len(self.written) == self._blocks_after:
            self.room.set_slow(self)

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        self.buffered += frames


def _room(limit_frames: int = 4) -> tuple[Room[_Member], Metrics]:
    metrics = Metrics()
    return Room("r", limit_frames, 1000, metrics, Writing()), metrics


def test_frames_of_one_turn_are_written_as_one() -> None:
    room, metrics = _room()
    members = [_Member(room), _Member(room)]
    assert room.post(b"1")
    assert not room.post(b"2")
    room.flush()
    assert [member.written for member in members] == [[b"12"], [b"12"]]
    assert metrics.frames_out == 4


def test_batch_of_a_send_buffers_size_is_written_at_once_and_the_next_frame_asks_for_a_flush() -> None:
    room, _ = _room(limit_frames=2)
    member = _Member(room)
    assert room.post(b"1")
    assert not room.post(b"2")
    assert member.written == [b"12"]
    assert room.post(b"3")


def test_batch_of_one_frame_is_written_at_once_when_send_buffers_hold_one() -> None:
    room, _ = _room(limit_frames=1)
    member = _Member(room)
    assert not room.post(b"1")
    assert member.written == [b"1"]


def test_slow_member_buffers_each_frame_by_itself() -> None:
    room, metrics = _room()
    member = _Member(room)
    room.set_slow(member)
    room.post(b"1")
    room.post(b"2")
    room.flush()
    assert (member.written, member.buffered) == ([], [b"1", b"2"])
    assert metrics.frames_out == 0


def test_member_that_blocks_on_a_write_of_the_room_does_not_get_the_same_frames_again() -> None:
    room, _ = _room()
    member = _Member(room, blocks_after=1)
    room.post(b"1")
    room.flush()
    assert (member.written, member.buffered) == ([b"1"], [])
    room.post(b"2")
    room.flush()
    assert (member.written, member.buffered) == ([b"1"], [b"2"])


def test_member_that_rejoins_the_swift_ones_is_written_to_again() -> None:
    room, _ = _room()
    member = _Member(room)
    room.set_slow(member)
    room.set_swift(member, member.write)
    room.post(b"1")
    room.flush()
    assert (member.written, member.buffered) == ([b"1"], [])
    assert len(room) == 1


def test_member_that_left_gets_nothing_of_the_turn_in_which_it_left() -> None:
    room, _ = _room()
    leaving, slow, staying = _Member(room), _Member(room), _Member(room)
    room.set_slow(slow)
    room.post(b"1")
    room.remove(leaving)
    room.remove(slow)
    room.flush()
    assert (leaving.written, slow.buffered, staying.written) == ([], [], [b"1"])
    assert room.members() == [staying]


def test_new_transport_of_a_member_is_the_one_that_is_written_to() -> None:
    room, _ = _room()
    member = _Member(room)
    newer: list[bytes] = []
    room.post(b"1")
    room.flush()
    room.set_swift(member, newer.append)
    room.post(b"2")
    room.flush()
    assert (member.written, newer) == ([b"1"], [b"2"])


def test_flush_without_frames_writes_nothing() -> None:
    room, _ = _room()
    member = _Member(room)
    room.flush()
    assert member.written == []


def test_frame_that_some_do_not_get_comes_behind_those_of_the_turn_and_before_later_ones() -> None:
    room, metrics = _room()
    one, other = _Member(room, id="one"), _Member(room, id="other")
    slow, left_out = _Member(room, id="slow"), _Member(room, id="left out")
    for member in (slow, left_out):
        room.set_slow(member)
    room.post(b"1")
    room.write_but(b"2", frozenset({"other", "left out", "nobody"}))
    room.post(b"3")
    room.flush()
    assert (one.written, other.written) == ([b"1", b"2", b"3"], [b"1", b"3"])
    assert (slow.buffered, left_out.buffered) == ([b"1", b"2", b"3"], [b"1", b"3"])
    assert metrics.frames_out == 5


def test_member_that_blocks_while_it_is_written_to_holds_up_no_other_of_a_frame_that_some_do_not_get() -> None:
    room, _ = _room()
    blocks, other = _Member(room, blocks_after=1, id="blocks"), _Member(room, id="other")
    room.write_but(b"1", frozenset({"nobody"}))
    room.write_but(b"2", frozenset({"nobody"}))
    assert (blocks.written, blocks.buffered) == ([b"1"], [b"2"])
    assert other.written == [b"1", b"2"]


def test_large_frame_is_written_at_once_with_what_came_before_it() -> None:
    room, _ = _room()
    member = _Member(room)
    assert room.post(b"1")
    assert not room.post(b"x" * 1000)
    assert member.written == [b"1" + b"x" * 1000]
    assert room.post(b"2")


# Members that may ask for it again.


class _Follower(_Member):
    """Notes what it is written by the room's backlog, as an exact session does."""

    def __init__(self, room: Room[_Member], *, blocks_after: int | None = None, id: str = "f") -> None:  # noqa: A002
        super().__init__(room, blocks_after=blocks_after, id=id)
        self.log = SendLog(8, 1000)
        self.log.follow(room.backlog(1000), id)

    def write(self, wire: bytes) -> None:
        if len(self.written) + 1 == self._blocks_after:
            self.log.unfollow()
        super().write(wire)

    def buffer_broadcast(self, frames: list[bytes]) -> None:
        self.log.put((frames, sum(map(len, frames))))

    @property
    def noted(self) -> bytes:
        self.log.unfollow()
        self.log.resume(0)
        return self.log.take(1 << 60)[0]


def test_what_is_written_to_a_follower_is_noted_once_whether_it_blocks_on_it_or_not() -> None:
    room, _ = _room()
    followers = [_Follower(room, id="a"), _Follower(room, id="b", blocks_after=1)]
    for turn in (b"12", b"3"):
        for frame in turn:
            room.post(b"%c" % frame)
        room.flush()
    assert [follower.written for follower in followers] == [[b"12", b"3"], [b"12"]]
    assert [follower.noted for follower in followers] == [b"123", b"123"]


def test_follower_does_not_note_what_it_was_left_out_of() -> None:
    room, _ = _room()
    left_out, other = _Follower(room, id="left out"), _Follower(room, id="other")
    room.post(b"1")
    room.write_but(b"2", frozenset({"left out"}))
    room.post(b"3")
    room.flush()
    assert (left_out.noted, other.noted) == (b"13", b"123")


def test_room_whose_last_follower_has_gone_notes_nothing() -> None:
    room, _ = _room()
    follower = _Follower(room)
    backlog = room.backlog(1000)
    follower.log.clear()
    for write in (room.flush, lambda: room.write_but(b"2", frozenset({"x"}))):
        room.post(b"1")
        write()
    assert backlog.frames == 0
