"""Handovers between shards of one process: upgrades that change their worker, and those that nobody takes."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.support.sessions.transport_shell import NotedShard
from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import Server
from wspulse.actors.accept.handover import Handovers
from wspulse.actors.mesh.message import UpgradeRequest
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.mesh.placing.former_slots import FormerSlots


def make_server() -> Server:
    return Server(lambda request: ("lobby", request.query["id"]), handshake_timeout=1)


async def test_upgrades_reach_their_owners_and_leave_no_copy_of_their_descriptors() -> None:
    async with serve_shards(make_server, 3) as shards:
        peers = [await RawPeer.upgraded(shards.port, f"/ws?id=m{number}") for number in range(60)]
        assert all(runtime.connections for runtime in shards.runtimes)
        placement = shards.runtimes[0].placement
        for runtime in shards.runtimes:
            assert {placement.shard_of(name) for name in runtime.shard.sessions} == {runtime.shard.index}
        assert sum(runtime.shard.metrics.handovers_in for runtime in shards.runtimes) > 0
        for peer in peers:
            await peer.close()


async def test_upgrade_whose_shard_does_not_come_up_is_answered_503_and_let_go_when_the_worker_stops() -> None:
    async with serve_shards(make_server, 2) as shards:
        await shards.stop_shard(1)
        placement = shards.runtimes[0].placement
        orphan = next(f"m{number}" for number in range(50) if placement.shard_of(f"m{number}") == 1)
        peer = await RawPeer.dial(shards.port)
        peer.writer.write(head(f"/ws?id={orphan}"))
        answer = await peer.head()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        refusing = shards.runtimes[0]
        assert refusing.shard.metrics.upgrades_refused == 1
        assert len(refusing.shard._ending) == 1
        # The client has not closed, and its second to do so has not passed.
        await refusing.stop()
        assert not refusing.shard._ending
        await peer.close()
        await shards.start_shard(0)
        await shards.start_shard(1)


async def test_upgrade_whose_descriptor_cannot_be_copied_is_answered_503_and_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_copy(_fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async with serve_shards(make_server, 2) as shards:
        placement = shards.runtimes[0].placement
        # Whichever accepts: one of the two is not its own.
        names = [
            next(f"m{number}" for number in range(50) if placement.shard_of(f"m{number}") == shard) for shard in (0, 1)
        ]
        with monkeypatch.context() as patched:
            patched.setattr(os, "dup", no_copy)
            answers: list[bytes] = []
            while not any(answer.startswith(b"HTTP/1.1 503 ") for answer in answers):
                peer = await RawPeer.dial(shards.port)
                peer.writer.write(head(f"/ws?id={names[len(answers) % 2]}"))
                answers.append(await peer.head())
                await peer.close()
                assert len(answers) < 50
        assert b"\r\nRetry-After: 1\r\n" in answers[-1]
        assert sum(runtime.shard.metrics.upgrades_refused for runtime in shards.runtimes) == 1
        assert sum(runtime.shard.metrics.handovers_out for runtime in shards.runtimes) == 0
        for name in names:
            peer = await RawPeer.upgraded(shards.port, f"/ws?id={name}")
            await peer.close()


def test_upgrade_that_cannot_be_taken_over_leaves_no_descriptor() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    without_key = UpgradeRequest("room", "ada", None, b"GET /ws HTTP/1.1", b"", None, 0.0, None)
    handovers = Handovers(cast("Any", NotedShard()), Placement(1), FormerSlots(Placement(1), 0), {})
    with pytest.raises(ValueError, match="Sec-WebSocket-Key"):
        handovers.take_over(without_key, ours.detach())
    assert theirs.recv(1000) == b""
    theirs.close()


async def test_upgrade_that_nobody_took_when_the_worker_ends_is_answered_and_closed_at_once() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    upgrade = UpgradeRequest("room", "ada", None, b"GET /ws HTTP/1.1", b"", None, 0.0, None)
    shard = NotedShard()
    handovers = Handovers(
        cast("Any", shard), Placement(2), FormerSlots(Placement(2), 0), {1: cast("Any", ClosedLink())}
    )
    shard.aborting = True
    handovers.hand_over(1, upgrade, ours.detach())
    assert theirs.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert theirs.recv(1000) == b""
    assert shard.ending == []
    theirs.close()


class ClosedLink:
    """A link that has closed: it gives descriptors back."""

    def hand_over(self, _upgrade: UpgradeRequest, fd: int, failed: Callable[[int], None]) -> None:
        failed(fd)
