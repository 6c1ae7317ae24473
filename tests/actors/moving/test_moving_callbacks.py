"""The callbacks of a session that moves, where its batch is taken back first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.contract.exact_client import ExactClient
from tests.support.eventually import eventually
from tests.support.shards.conductor import Conductor
from tests.support.shards.moving_stage import moving_stage
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


async def test_session_that_was_told_to_leave_is_told_that_it_stays_when_its_client_comes_back_without_a_drop() -> None:
    def hear(server: Server, seat: int) -> None:
        server.on_transfer_out(lambda connection: stage.log.append((seat, "out", connection.id, None)))
        server.on_transfer_in(lambda connection: stage.log.append((seat, "in", connection.id, None)))

    async with moving_stage(2, hear, lambda _seat: {"resume_window": 0}) as stage:
        (one,) = stage.ids(1)
        async with ExactClient(f"{stage.shards.url}?id={one}") as client:
            bus = stage.source.shard.bus
            cut = bus.cut  # type: ignore[attr-defined]
            cuts: list[int] = []
            bus.cut = cuts.append  # type: ignore[attr-defined]
            moving = stage.move()
            await eventually(lambda: cuts, "it is chosen")
            former = client.socket
            assert (await client.dial())["recovered"]
            await client.send("n", 1)
            bus.cut = cut  # type: ignore[attr-defined]
            cut(cuts[0])
            assert isinstance(await moving, MovedOut)
            assert await client.expect("done") == 1
            told = [(seat, callback) for seat, callback, _ in stage.of(one, "out", "in", "n")]
            assert [each for each in told if each[1] != "n"] == [(0, "out"), (0, "in"), (0, "out"), (1, "in")]
            order = [callback for _, callback in told]
            assert order[order.index("n") - 1] == "in"
            await former.close()
