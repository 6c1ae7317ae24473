"""When a transport is cut: for missing pongs, and for a close frame that is not answered. The clock is the simulation's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.simulation.model.frames import CLOSED, CONNECTED
from tests.support.simulation.model.patience import KICKS
from tests.support.simulation.outside.app import Script
from tests.support.simulation.outside.peer import SimPeer
from tests.support.simulation.outside.small import server_options
from tests.support.simulation.world import EVERY_CALLBACK, World

PING_PERIOD_S = 5.0
"""Of every simulated server."""

PONG_WAIT_S = 12.0

CLOSE_ANSWER_S = 3.0
"""contract §3: how long the peer's answering close frame is awaited."""

TICK_S = 0.05
"""A few of the shard's ticks."""


@contextmanager
def running_world() -> Iterator[World]:
    """A shard without a resume window; on the way out everything has ended and the contract was kept."""
    world = World(1, server_options(0.0, True, "kick", 64, PONG_WAIT_S, 6.0), EVERY_CALLBACK, None)
    with world.loop:
        yield world
        world.finish()
    assert world.model.violation is None


def passes(world: World, seconds: float) -> None:
    world.pass_time(world.loop.now + seconds)


def connected(world: World) -> SimPeer:
    peer = world.connect("ada", "room")
    world.run_until_idle()
    assert peer.session is not None
    assert peer.session.state is CONNECTED
    return peer


def hold(world: World, peer: SimPeer) -> None:
    """Let the peer send more than may wait for a handler, which does not return."""
    world.send_message(peer, Script(True, (("gate",),), ""))
    for _ in range(20):
        world.send_message(peer, None)
    world.poll_all()
    world.run_until_idle()
    assert not peer.socket.reading


def test_peer_that_was_not_read_has_its_whole_pong_wait_again_when_it_is_read() -> None:
    with running_world() as world:
        peer = connected(world)
        peer.pongs = False
        passes(world, PING_PERIOD_S + 1)
        hold(world, peer)
        passes(world, 10 * PONG_WAIT_S)
        world.app.gates.pop().set_result(None)
        world.poll_all()
        world.run_until_idle()
        assert peer.socket.reading
        passes(world, PONG_WAIT_S - 1 - TICK_S)  # one second of it was over when the reading stopped
        assert peer.session is not None
        assert peer.session.state is CONNECTED
        passes(world, PING_PERIOD_S + 1)
        assert peer.close_seen == (1011, "keepalive timeout")


def test_peer_that_is_not_read_is_never_cut_for_missing_pongs() -> None:
    with running_world() as world:
        peer = connected(world)
        hold(world, peer)
        passes(world, 50 * PONG_WAIT_S)
        assert peer.session is not None
        assert peer.session.state is CONNECTED
        world.app.gates.pop().set_result(None)
        passes(world, 5 * PONG_WAIT_S)
        assert peer.session.state is CONNECTED


def test_peer_that_answers_no_ping_is_cut_when_its_pong_wait_is_over_and_not_before() -> None:
    with running_world() as world:
        peer = connected(world)
        peer.pongs = False
        passes(world, PING_PERIOD_S + PONG_WAIT_S - TICK_S)
        assert peer.session is not None
        assert peer.session.state is CONNECTED
        passes(world, 2 * TICK_S)
        assert peer.session.state is CLOSED
        assert peer.close_seen == (1011, "keepalive timeout")


def test_close_frame_without_an_answer_is_awaited_for_three_seconds() -> None:
    with running_world() as world:
        peer = connected(world)
        peer.polite = False
        world.app.kick("ada")
        world.run_until_idle()
        assert peer.close_seen in KICKS
        passes(world, CLOSE_ANSWER_S - TICK_S)
        assert not peer.socket.closing
        passes(world, 2 * TICK_S)
        assert peer.socket.closed


def test_close_frame_that_is_answered_ends_the_socket_at_once() -> None:
    with running_world() as world:
        peer = connected(world)
        world.app.kick("ada")
        world.poll_all()
        world.run_until_idle()
        assert peer.socket.closed
