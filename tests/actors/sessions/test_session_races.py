"""Races of sessions and transports, each played step by step in a simulated world; a test is named after its race."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.simulation.model.frames import CLOSED
from tests.support.simulation.model.patience import CLOSES
from tests.support.simulation.outside.app import Script
from tests.support.simulation.outside.small import server_options
from tests.support.simulation.world import EVERY_CALLBACK, World

MakeWorld = Callable[..., World]

_GATE = Script(True, (("gate",),))


@pytest.fixture
def make_world() -> Iterator[MakeWorld]:
    """Makes worlds; at the end each must have kept the contract, come to rest and left nothing behind."""
    worlds = []
    with ExitStack() as stack:

        def make(
            *,
            finish: bool = True,
            resume_window: float = 0.0,
            suspend_on_clean_close: bool = True,
            on_duplicate: str = "kick",
            send_buffer_size: int = 4,
            pong_wait: float = 12.0,
            write_wait: float = 1.0,
            leave_delay_s: float | None = None,
        ) -> World:
            options = server_options(
                resume_window, suspend_on_clean_close, on_duplicate, send_buffer_size, pong_wait, write_wait
            )
            world = World(0, options, EVERY_CALLBACK, leave_delay_s)
            world.model.trace = []
            stack.enter_context(world.loop)
            if finish:
                worlds.append(world)
            return world

        yield make
        for world in worlds:
            world.settle()
            world.finish()
            assert world.model.trace is not None
            assert world.model.violation is None, "\n".join(world.model.trace)


def test_ping_in_the_read_of_a_failing_handler_is_not_answered_after_the_close_frame(make_world: MakeWorld) -> None:
    world = make_world()
    peer = world.connect("a", "r")
    world.run_until_idle()
    peer.send("ping")
    world.send_message(peer, Script(False, (), "raise"))
    peer.socket.poll()
    assert peer.close_seen == (1011, "internal error")


def test_ping_in_the_read_of_a_broken_frame_does_not_write_after_the_end_of_the_stream(make_world: MakeWorld) -> None:
    world = make_world()
    peer = world.connect("a", "r")
    world.run_until_idle()
    peer.send("ping")
    peer.send("broken")
    peer.socket.poll()
    assert peer.close_seen == (1002, "unknown opcode")


def test_newcomer_whose_socket_has_ended_does_not_end_the_session_of_its_id(make_world: MakeWorld) -> None:
    world = make_world(leave_delay_s=0.5)
    assert world.bus is not None
    first = world.connect("a", "r")
    world.bus.join_step()
    world.bus.join_step()
    second = world.connect("a", "s")
    world.run_until_idle()
    second.drop()
    second.socket.poll()  # connection_lost is on its way
    world.bus.join_step()
    world.bus.join_step()
    world.run_until_idle()
    assert world.model.live["a"].peer is first
    assert second.answer == 0


def test_newcomer_that_has_ended_its_stream_does_not_take_the_id_of_a_session(make_world: MakeWorld) -> None:
    world = make_world(leave_delay_s=0.5)
    assert world.bus is not None
    first = world.connect("a", "r")
    world.bus.join_step()
    world.bus.join_step()
    second = world.connect("a", "s")
    world.run_until_idle()
    second.eof = True
    second.socket.poll()
    world.bus.join_step()
    world.bus.join_step()
    world.run_until_idle()
    assert world.model.live["a"].peer is first
    assert second.answer == 409


def test_server_close_in_on_disconnect_does_not_wait_for_a_later_session_of_the_same_id(make_world: MakeWorld) -> None:
    world = make_world()
    world.connect("a", "r", scripts={"on_disconnect": Script(True, (("shutdown",),))})
    world.run_until_idle()
    world.connect("a", "r")  # its on_connect waits for that on_disconnect
    world.run_until_idle()
    world.pass_time(world.loop.now + 5)
    assert [session.expected for session in world.model.sessions] == [[], []]


def test_callback_that_is_due_when_the_shard_aborts_does_not_begin(make_world: MakeWorld) -> None:
    world = make_world(finish=False)
    world.connect("a", "r", scripts={"on_disconnect": _GATE})
    world.run_until_idle()
    world.abort()
    assert world.model.violation is None
    assert world.app.gates == []


def test_handler_called_in_the_turn_of_an_abort_begins_before_it_is_cancelled(make_world: MakeWorld) -> None:
    world = make_world(finish=False)
    world.connect("a", "r", scripts={"on_disconnect": _GATE})
    world.run_until_idle()
    world.abort(before_callbacks=False)  # a coroutine that never begins would warn
    assert world.model.violation is None
    assert len(world.app.gates) == 1


@pytest.mark.parametrize("end", ["connection", "server"])
def test_broadcast_in_the_turn_of_a_close_is_written_before_the_close_frame(make_world: MakeWorld, end: str) -> None:
    world = make_world()
    peer = world.connect("a", "r")
    world.run_until_idle()
    world.app.broadcast_nowait("r")
    if end == "connection":
        world.app.close(world.model.live["a"])
    else:
        world.app.shut_down_now()
    session = world.model.sessions[0]
    assert session.state is CLOSED
    assert session.membership(session.room).last == 0
    assert peer.close_seen is not None


def test_messages_read_before_a_drop_are_handled_when_the_window_ends_before_a_slow_handler(
    make_world: MakeWorld,
) -> None:
    world = make_world(resume_window=1.0)
    peer = world.connect("a", "r")
    world.run_until_idle()
    for script in (_GATE, None, None):
        world.send_message(peer, script)
    peer.eof = True
    world.poll_all()
    world.poll_all()
    world.pass_time(world.loop.now + 2)
    assert not world.model.live
    world.app.gates.pop().set_result(None)
    world.run_until_idle()
    assert peer.handled == 3


def test_write_deadline_that_rounding_puts_before_the_clock_is_not_set_again_in_the_same_instant(
    make_world: MakeWorld,
) -> None:
    for tick in range(102_225, 102_235):
        world = make_world(write_wait=6.0)
        world.loop.now = tick * 0.01  # of 1022.31 the end of the wait less its beginning is less than the wait
        peer = world.connect("a", "r", capacity_bytes=18)
        peer.reads = False
        world.run_until_idle()
        for _ in range(6):
            world.app.send("a")
        world.run_until_idle()
        assert peer.socket.paused
        world.pass_time(world.loop.now + world.model.options.write_wait + 0.1)
        assert world.model.violation is None
        assert peer.socket.closed


def test_closed_transport_whose_peer_takes_some_of_what_is_queued_is_not_cut_off_early(make_world: MakeWorld) -> None:
    world = make_world(write_wait=8.0)
    peer = world.connect("a", "r", capacity_bytes=18, reads=False)
    world.run_until_idle()
    for _ in range(4):
        world.app.send("a")
        world.run_until_idle()
    assert peer.socket.paused
    world.pass_time(world.loop.now + 5)
    world.app.close(world.model.live["a"])  # its frames stand in the socket now, behind what waited there
    world.pass_time(world.loop.now + 2)
    peer.read(6)
    world.pass_time(world.loop.now + 3)
    assert not peer.socket.closed
    peer.start_reading()
    world.run_until_idle()
    assert peer.close_seen in CLOSES


def test_reconnect_does_not_read_on_for_a_session_whose_handler_is_behind(make_world: MakeWorld) -> None:
    world = make_world(resume_window=5.0)
    first = world.connect("a", "r")
    world.run_until_idle()
    world.send_message(first, _GATE)
    for _ in range(20):
        world.send_message(first, None)
    first.socket.poll()
    first.drop()
    world.app.send("a")  # the write finds the reset out
    world.run_until_idle()
    second = world.connect("a", "r")
    world.send_message(second, None)
    world.run_until_idle()
    second.socket.poll()
    assert second.outgoing
    world.app.gates.pop().set_result(None)
    world.run_until_idle()
    second.socket.poll()
    assert (first.handled, second.handled) == (21, 1)


def test_handler_that_raises_systemexit_while_the_shard_aborts_does_not_end_the_loop(make_world: MakeWorld) -> None:
    world = make_world(finish=False)
    peer = world.connect("a", "r")
    world.run_until_idle()
    world.send_message(peer, Script(True, (("yield",), ("yield",)), "exit"))
    peer.socket.poll()
    world.loop.turn()
    world.abort()
    assert world.model.violation is None


@pytest.mark.parametrize("end", ["close", "kick", "shutdown"])
def test_reconnect_before_the_drop_handler_ends_the_session_calls_no_restore(make_world: MakeWorld, end: str) -> None:
    world = make_world(resume_window=5.0)
    action = {"close": ("close",), "kick": ("kick", "a"), "shutdown": ("shutdown",)}[end]
    first = world.connect("a", "r", scripts={"on_transport_drop": Script(True, (("gate",), action))})
    world.run_until_idle()
    first.drop()
    world.app.send("a")  # the write finds the reset out
    world.run_until_idle()
    second = world.connect("a", "r")
    world.send_message(second, None)
    world.run_until_idle()
    second.socket.poll()
    assert second.answer == 101
    world.app.gates.pop().set_result(None)
    world.pass_time(world.loop.now + 4)  # for the peer's close frame
    session = world.model.sessions[0]
    assert session.state is CLOSED
    assert (session.restores, second.handled, session.expected) == (0, 0, [])


def test_session_that_is_kicked_before_its_on_connect_runs_hears_of_its_end_alone(make_world: MakeWorld) -> None:
    world = make_world()
    world.connect("a", "r")
    while "a" not in world.model.live:
        world.loop.turn()
    session = world.model.sessions[0]
    assert session.expected == [("on_connect", None)]
    world.app.kick("a")
    assert session.expected == [("on_disconnect", None)]
    world.run_until_idle()
    assert session.expected == []


def test_session_whose_id_is_taken_before_its_on_connect_runs_has_both_callbacks(make_world: MakeWorld) -> None:
    world = make_world()
    world.connect("a", "r", scripts={"on_connect": _GATE})
    world.run_until_idle()
    world.connect("a", "r")  # its on_connect waits for the older one's end
    world.run_until_idle()
    world.connect("a", "r")
    world.run_until_idle()
    second = world.model.sessions[1]
    assert second.state is CLOSED
    assert [kind for kind, _ in second.expected] == ["on_connect", "on_disconnect"]
    world.app.gates.pop().set_result(None)
    world.run_until_idle()
    assert [session.expected for session in world.model.sessions] == [[], [], []]
