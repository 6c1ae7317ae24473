"""`Transport`: what becomes of a socket whose peer has much to take when it is to end: if it were closed, the bytes would stay
with the kernel for as long as the peer likes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.sessions.transport_shell import NotedShard, client_close, opened, state
from wspulse.actors.transport import client as clients
from wspulse.actors.transport.state import TransportState

FAR_BYTES = 65_536


@pytest.fixture
def kernel_holds(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how much the kernel holds that the peer has not taken."""

    def holds(untaken_bytes: int) -> None:
        monkeypatch.setattr(clients, "untaken_bytes", lambda client: untaken_bytes if client is not None else 0)

    return holds


def test_socket_of_a_peer_that_closes_and_does_not_read_is_reset(kernel_holds: Callable[[int], None]) -> None:
    shard = NotedShard(write_wait=8)
    transport, socket, session = opened(shard)
    kernel_holds(FAR_BYTES)
    transport.data_received(client_close(1000))
    assert session.lost == [("", True)]
    assert socket.calls[-1] == "eof"
    assert shard.ending == [transport]
    shard.pass_time(8.5)
    assert socket.calls[-2:] == ["reset", "abort"]
    assert shard.cut == ["closing"]


def test_socket_of_a_peer_that_closes_and_has_little_to_take_is_closed(kernel_holds: Callable[[int], None]) -> None:
    transport, socket, _ = opened(NotedShard())
    kernel_holds(FAR_BYTES - 1)
    transport.data_received(client_close(1000))
    assert socket.calls[-1] == "close"


def test_socket_of_a_peer_that_ends_its_stream_and_does_not_read_is_reset(kernel_holds: Callable[[int], None]) -> None:
    shard = NotedShard(write_wait=8)
    transport, socket, session = opened(shard)
    kernel_holds(FAR_BYTES)
    assert transport.eof_received()
    assert session.lost == [("ConnectionLostError", False)]
    assert state(transport) is TransportState.LINGERING
    assert socket.calls[-1] == "eof"
    shard.pass_time(8.5)
    assert socket.calls[-2:] == ["reset", "abort"]


def test_peer_that_ends_its_stream_and_takes_what_it_is_behind_with_sees_an_end_in_order(
    kernel_holds: Callable[[int], None],
) -> None:
    shard = NotedShard(write_wait=8)
    transport, socket, _ = opened(shard)
    kernel_holds(FAR_BYTES)
    transport.eof_received()
    shard.pass_time(1)
    kernel_holds(0)
    shard.pass_time(5.5)
    assert socket.calls[-1] == "abort"
    assert "reset" not in socket.calls
    assert shard.cut == []


def test_peer_that_was_told_to_go_and_ends_its_stream_without_reading_is_reset(
    kernel_holds: Callable[[int], None],
) -> None:
    shard = NotedShard()
    transport, socket, session = opened(shard)
    kernel_holds(FAR_BYTES)
    session.kick()
    assert transport.eof_received()
    shard.pass_time(0.8)
    assert socket.calls[-2:] == ["reset", "abort"]


def test_half_closed_peer_that_does_not_take_its_answers_is_reset(kernel_holds: Callable[[int], None]) -> None:
    shard = NotedShard(write_wait=8)
    transport, socket, session = opened(shard)
    session.answers_are_due = True
    transport.eof_received()
    kernel_holds(FAR_BYTES)
    session.answers_are_due = False
    transport.release()
    shard.noted_loop.turn()
    assert session.lost == [("ConnectionLostError", False)]
    assert "close" not in socket.calls
    shard.pass_time(8.5)
    assert socket.calls[-2:] == ["reset", "abort"]


def test_peer_that_is_kicked_and_is_far_away_has_its_time(kernel_holds: Callable[[int], None]) -> None:
    """What is on its way is with our kernel until the peer's says that it has come: 0.6 s with a satellite between them."""
    shard = NotedShard()
    _, socket, session = opened(shard)
    kernel_holds(1000)
    session.kick()
    shard.pass_time(2.9)
    assert "abort" not in socket.calls
    kernel_holds(0)
    shard.pass_time(3.2)
    assert socket.calls[-1] == "abort"
    assert "reset" not in socket.calls


def test_peer_that_is_kicked_and_is_far_behind_is_reset_in_half_a_second(kernel_holds: Callable[[int], None]) -> None:
    shard = NotedShard()
    _, socket, session = opened(shard)
    kernel_holds(FAR_BYTES)
    session.kick()
    shard.pass_time(0.8)
    assert socket.calls[-2:] == ["reset", "abort"]
