"""`Waiters`: who goes on when the bus takes something again."""

from __future__ import annotations

from wspulse.actors.bus.publishing.waiters import Waiters


def waiting(*callers: str) -> Waiters[str, bytes]:
    """Each caller waits with a frame for the room that its name begins with."""
    waiters: Waiters[str, bytes] = Waiters()
    for caller in callers:
        waiters.wait(caller[0], caller, caller.encode())
    return waiters


def everywhere(_: str) -> bool:
    return True


def test_callers_of_a_room_go_on_in_their_order_and_rooms_take_turns() -> None:
    waiters = waiting("a1", "a2", "a3", "b1", "c1", "b2")
    assert [caller for _, caller, _ in waiters.going_on(everywhere)] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert not waiters


def test_each_goes_on_with_its_own_frame_and_room() -> None:
    assert list(waiting("a1", "b1").going_on(everywhere)) == [("a", "a1", b"a1"), ("b", "b1", b"b1")]


def test_room_that_is_not_free_holds_up_no_other() -> None:
    waiters = waiting("a1", "b1", "a2", "b2")
    assert [caller for _, caller, _ in waiters.going_on(lambda room: room != "a")] == ["b1", "b2"]
    assert list(waiters) == ["a1", "a2"]
    assert "a" in waiters
    assert "b" not in waiters


def test_nobody_goes_on_behind_what_fills_the_bus() -> None:
    waiters = waiting("a1", "b1", "c1", "a2")
    gone: list[str] = []
    for _, caller, _ in waiters.going_on(lambda _: len(gone) < 2):
        gone.append(caller)
    assert gone == ["a1", "b1"]
    # Those whose turn it was not are next.
    assert [caller for _, caller, _ in waiters.going_on(everywhere)] == ["c1", "a2"]


def test_caller_that_leaves_holds_nothing_and_leaves_the_order_of_the_others() -> None:
    waiters = waiting("a1", "a2", "a3", "b1")
    for caller in ("a2", "b1", "b1", "a9"):
        waiters.leave(caller[0], caller)
    assert len(waiters) == 2
    assert "b" not in waiters
    assert [caller for _, caller, _ in waiters.going_on(everywhere)] == ["a1", "a3"]


def test_many_callers_of_one_room_go_on_in_a_time_that_grows_with_their_number_only() -> None:
    waiters: Waiters[int, bytes] = Waiters()
    for number in range(100_000):
        waiters.wait("a", number, b"")
    asked = 0

    def is_free(_: str) -> bool:
        nonlocal asked
        asked += 1
        return True

    for number in range(1000):
        waiters.wait(f"blocked {number}", -number, b"")
    assert [caller for room, caller, _ in waiters.going_on(is_free) if room == "a"] == list(range(100_000))
    assert asked < 110_000
