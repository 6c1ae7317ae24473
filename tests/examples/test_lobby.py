"""examples/lobby.py, with one worker and with four, and real clients."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from tests.examples.support import EXAMPLES, worker_pids
from wspulse import Frame, ReplyError
from wspulse.testing import Client, RunningServer, UpgradeRefusedError, serve

TABLES = tuple(f"table:{number}" for number in range(8))
"""Of which each of four workers has some."""

Lobby = Callable[[], AbstractAsyncContextManager[RunningServer]]


@pytest.fixture(params=[1, 4], ids=["1 worker", "4 workers"])
def lobby(request: pytest.FixtureRequest) -> Lobby:
    @asynccontextmanager
    async def start() -> AsyncIterator[RunningServer]:
        async with serve("lobby:server", workers=request.param, cwd=EXAMPLES) as running:
            yield running
        assert "raised" not in running.log

    return start


async def enter(running: RunningServer, player: str, table: str = "") -> Client:
    client = await running.connect(query={"player": player})
    if table:
        await client.call("sit", table)
    return client


async def move(client: Client, table: str, **move: float) -> None:
    await client.send("move", {"table": table, "move": move})


def fits(player: str, condition: Any = lambda player: True) -> Any:
    """For `expect(where=...)`: the player is there and the condition holds for it."""

    def check(frame: Frame) -> bool:
        found = frame.payload["players"].get(player)
        return found is not None and bool(condition(found))

    return check


def at_the_table(*players: str) -> Callable[[Frame], bool]:
    return lambda frame: sorted(frame.payload["players"]) == sorted(players)


async def test_challenge_that_is_accepted_seats_both_at_a_table_of_their_own(lobby: Lobby) -> None:
    async with lobby() as running:
        alice, bob, carol, dave = [await enter(running, name) for name in ("alice", "bob", "carol", "dave")]
        arrived = {(await alice.expect("arrived", room="lobby")).payload for _ in range(3)}
        assert arrived == {"bob", "carol", "dave"}
        tables = []
        for challenger, rival, names in ((alice, bob, ["alice", "bob"]), (carol, dave, ["carol", "dave"])):
            asking = asyncio.create_task(challenger.call("challenge", names[1]))
            question = await rival.expect("play?")
            assert question.payload == {"player": names[0]}
            await rival.reply(question)
            table = (await asking).payload["table"]
            for client in (alice, bob, carol, dave):
                assert (await client.expect("started", room="lobby")).payload == {"table": table, "players": names}
            for client in (challenger, rival):
                await client.expect("state", room=table, where=at_the_table(*names))
            tables.append(table)
        assert (await dave.call("who")).payload == {
            "alice": [tables[0]],
            "bob": [tables[0]],
            "carol": [tables[1]],
            "dave": [tables[1]],
        }
        assert {frame.room for frame in alice.received if frame.event == "state"} == {tables[0]}
        assert {frame.payload for frame in alice.received if frame.event == "arrived"} == {"bob", "carol", "dave"}


async def test_challenge_that_fails_is_answered_with_its_reason(lobby: Lobby) -> None:
    async with lobby() as running:
        alice, bob = await enter(running, "alice"), await enter(running, "bob")
        for rival in ("carol", "alice"):
            with pytest.raises(ReplyError) as refused:
                await alice.call("challenge", rival)
            assert refused.value.payload == {"code": "not_here", "player": rival}
        for code in ("declined", "no_answer"):
            asking = asyncio.create_task(alice.call("challenge", "bob"))
            question = await bob.expect("play?")
            if code == "declined":
                await bob.reply(question, "not now", error=True)
            else:
                await bob.close()
            with pytest.raises(ReplyError) as refused:
                await asking
            assert refused.value.payload == {"code": code, "player": "bob"}
        assert (await alice.expect("left", room="lobby")).payload == "bob"
        assert (await alice.call("who")).payload == {"alice": []}
        with pytest.raises(ReplyError) as refused:
            await alice.call("move", {"table": "table:1", "move": {}})
        assert refused.value.payload == {"code": "not_at_this_table", "table": "table:1"}
        with pytest.raises(ReplyError) as refused:
            await alice.call("sit", "lobby")
        assert refused.value.payload["code"] == "invalid_payload"


async def test_moves_reach_the_table_and_its_state_everybody_at_it(lobby: Lobby) -> None:
    async with lobby() as running:
        alice, bob = await enter(running, "alice"), await enter(running, "bob")
        for table in TABLES:
            for client in (alice, bob):
                await client.call("sit", table)
            await move(alice, table, dx=1, dy=-0.5)
            for client in (alice, bob):
                moved = fits("alice", lambda player: player["x"] > 50.5 and player["y"] < 50)
                await client.expect("state", room=table, where=moved)
                state = await client.expect("state", room=table, where=fits("bob"))
                assert state.payload["players"]["bob"]["x"] == 50
            ticks = [frame.payload["tick"] for frame in alice.received if frame.room == table]
            assert ticks == sorted(set(ticks))
            assert (await bob.call("leave", table)).payload == {"left": table}
            bob.skip()
            await alice.expect("state", room=table, where=at_the_table("alice"))
            await bob.expect_nothing("state", room=table, within=0.01)


async def test_table_ticks_twenty_times_a_second(lobby: Lobby) -> None:
    async with lobby() as running:
        alice = await enter(running, "alice", "table:1")
        first = (await alice.expect("state")).payload["tick"]
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await alice.expect("state", where=lambda frame: frame.payload["tick"] >= first + 20)
        assert 0.8 < loop.time() - begin < 4


async def test_player_stands_still_while_away_and_plays_on_after_a_resume(lobby: Lobby) -> None:
    async with lobby() as running:
        alice, bob = await enter(running, "alice", "table:1"), await enter(running, "bob", "table:1")
        await move(alice, "table:1", dx=1)
        await bob.expect("state", where=fits("alice", lambda player: player["x"] > 50.4))
        await alice.drop()
        bob.skip()
        standing = await bob.expect("state", where=fits("alice", lambda player: player["move"]["dx"] == 0))
        place = standing.payload["players"]["alice"]["x"]
        await alice.reconnect()
        states = [frame for frame in bob.skip() if frame.event == "state"]
        assert {frame.payload["players"]["alice"]["x"] for frame in states} <= {place}
        await move(alice, "table:1", dx=-1)
        await bob.expect("state", where=fits("alice", lambda player: place - 1 < player["x"] < place))
        # The states of the time in between were waiting for her.
        await alice.expect("state", where=lambda frame: frame.payload["tick"] == standing.payload["tick"] + 1)
        await bob.close()
        await alice.expect("state", where=at_the_table("alice"))


async def test_games_go_on_when_a_worker_dies() -> None:
    async with serve("lobby:server", workers=4, cwd=EXAMPLES, timeout=15) as running:
        names = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
        players = [await enter(running, name) for name in names]
        for player in players:
            for table in TABLES:
                await player.call("sit", table)
        os.kill(worker_pids(running.pid)[1], signal.SIGKILL)
        survivors = []
        for player in players:
            try:
                await player.closed(timeout=0.2)
            except AssertionError:
                survivors.append(player)
            else:
                await player.reconnect()
                for table in TABLES:
                    await player.call("sit", table)
        assert survivors
        for table in TABLES:
            for player in players:
                player.skip()
            await move(survivors[0], table, dx=0.5)
            for player in players:
                await player.expect("state", room=table, where=lambda frame: len(frame.payload["players"]) == 8)


async def test_upgrade_without_a_player_is_refused(lobby: Lobby) -> None:
    async with lobby() as running:
        for query in ({}, {"player": ""}, {"player": "x" * 61}):
            with pytest.raises(UpgradeRefusedError, match=r"400 connect with \?player="):
                await running.connect(query=query)
