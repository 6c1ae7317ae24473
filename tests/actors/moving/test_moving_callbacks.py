"""The callbacks of a session that moves, where its batch is taken back first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import serve_shards
from tests.support.wire.raw_peer import RawPeer
from wspulse import Server
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.moving.moving import Moving
from wspulse.actors.moving.way import WayBrokenError


async def test_session_that_was_told_to_leave_and_came_back_is_told_so_before_it_leaves_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    processes = iter(range(9))

    def serving() -> Server:
        number = next(processes)
        server = Server(lambda request: ("lobby", request.query["id"]))

        def noted(kind: str) -> Callable[[object], None]:
            return lambda _connection: log.append(f"{kind} {number}")

        server.on_transfer_out(noted("out"))
        server.on_transfer_in(noted("in"))
        return server

    settled, broken = Moving.events_settled, [True]

    async def broken_once(moving: Moving) -> None:
        if broken:
            broken.clear()
            raise WayBrokenError("as the test says")
        await settled(moving)

    monkeypatch.setattr(Moving, "events_settled", broken_once)
    async with serve_shards(serving, 2) as shards:
        name = shards.runtimes[0].placement.new_id(0)
        async with await RawPeer.upgraded(shards.port, f"/ws?id={name}"):
            assert isinstance(await Conductor(shards).reload(0), MovedOut)
            assert log == ["out 0", "in 0", "out 0", "in 2"]
