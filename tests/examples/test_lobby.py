"""examples/lobby.py, with two workers and real clients."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.examples.support import EXAMPLES, worker_pids
from wspulse import Frame
from wspulse.testing import Client, RunningServer, UpgradeRefusedError, serve

GAMES = ("g1", "g2", "g3", "g4")
"""Of which each of two workers has some."""


async def join(running: RunningServer, game: str, player: str) -> Client:
    return await running.connect(query={"game": game, "player": player})


def fits(player: str, condition: Any) -> Any:
    """For `expect(where=...)`: the player is there and the condition holds for it."""

    def check(frame: Frame) -> bool:
        found = frame.payload["players"].get(player)
        return found is not None and bool(condition(found))

    return check


async def test_moves_reach_the_game_and_its_state_everybody_in_it() -> None:
    async with serve("lobby:server", workers=2, cwd=EXAMPLES) as running:
        for game in GAMES:
            alice, bob = await join(running, game, "alice"), await join(running, game, "bob")
            await alice.expect("state", where=lambda frame: set(frame.payload["players"]) == {"alice", "bob"})
            await alice.send("move", {"dx": 1, "dy": -0.5})
            for client in (alice, bob):
                await client.expect(
                    "state", where=fits("alice", lambda player: player["x"] > 50.5 and player["y"] < 50)
                )
                state = await client.expect("state", where=fits("bob", lambda player: True))
                assert state.payload["players"]["bob"]["x"] == 50
            ticks = [frame.payload["tick"] for frame in alice.received]
            assert ticks == sorted(set(ticks))
            await bob.close()
            await alice.expect("state", where=lambda frame: set(frame.payload["players"]) == {"alice"})
    assert "raised" not in running.log


async def test_game_ticks_twenty_times_a_second() -> None:
    async with serve("lobby:server", workers=2, cwd=EXAMPLES) as running:
        alice = await join(running, "g1", "alice")
        first = (await alice.expect("state")).payload["tick"]
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await alice.expect("state", where=lambda frame: frame.payload["tick"] >= first + 20)
        assert 0.8 < loop.time() - begin < 4


async def test_player_stands_still_while_away_and_plays_on_after_a_resume() -> None:
    async with serve("lobby:server", workers=2, cwd=EXAMPLES) as running:
        alice, bob = await join(running, "g1", "alice"), await join(running, "g1", "bob")
        await alice.send("move", {"dx": 1})
        await bob.expect("state", where=fits("alice", lambda player: player["x"] > 50.4))
        await alice.drop()
        bob.skip()
        standing = await bob.expect("state", where=fits("alice", lambda player: player["move"]["dx"] == 0))
        place = standing.payload["players"]["alice"]["x"]
        await alice.reconnect()
        assert {frame.payload["players"]["alice"]["x"] for frame in bob.skip()} <= {place}
        await alice.send("move", {"dx": -1})
        await bob.expect("state", where=fits("alice", lambda player: place - 1 < player["x"] < place))
        # The states of the time in between were waiting for her.
        await alice.expect("state", where=lambda frame: frame.payload["tick"] == standing.payload["tick"] + 1)


async def test_game_goes_on_when_the_worker_that_has_it_dies() -> None:
    async with serve("lobby:server", workers=2, cwd=EXAMPLES, timeout=15) as running:
        players = [await join(running, game, name) for game in GAMES for name in ("alice", "bob", "carol", "dave")]
        for player in players:
            await player.expect("state")
        os.kill(worker_pids(running.pid)[1], signal.SIGKILL)
        survivors = []
        for player in players:
            try:
                await player.closed(timeout=0.2)
            except AssertionError:
                survivors.append(player)
            else:
                await player.reconnect()
        assert survivors
        for player in players:
            player.skip()
            await player.send("move", {"dx": 0.5})
        for player in players:
            await player.expect("state", where=lambda frame: len(frame.payload["players"]) == 4)


async def test_upgrade_without_game_or_player_is_refused() -> None:
    async with serve("lobby:server", cwd=EXAMPLES) as running:
        for query in ({}, {"game": "g1"}, {"player": "alice"}, {"game": "g/1", "player": "alice"}):
            with pytest.raises(UpgradeRefusedError, match=r"400 connect with \?game="):
                await running.connect(query=query)
