"""examples/chat.py, with two workers and real clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.examples.support import EXAMPLES
from wspulse.testing import RunningServer, UpgradeRefusedError, serve

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
ENVIRONMENT = {"CHAT_TOKENS": ", ".join(f"{name}:{name}-token" for name in NAMES)}


@asynccontextmanager
async def chat(database: Path) -> AsyncIterator[RunningServer]:
    env = {**ENVIRONMENT, "CHAT_DATABASE": str(database)}
    async with serve("chat:server", workers=2, cwd=EXAMPLES, env=env) as running:
        yield running


async def test_lines_reach_the_room_on_every_worker_and_stay_for_newcomers(tmp_path: Path) -> None:
    async with chat(tmp_path / "chat.db") as running:
        people = [await running.connect(query={"token": f"{name}-token", "room": "tea"}) for name in NAMES[:4]]
        stranger = await running.connect(query={"token": "erin-token", "room": "coffee"})
        for number in range(60):
            await people[number % 4].send("say", {"text": f"line {number}"})
            for person in people:
                line = (await person.expect("line")).payload
                assert (line["name"], line["text"]) == (NAMES[number % 4], f"line {number}")
        newcomer = await running.connect(query={"token": "frank-token", "room": "tea"})
        lines = (await newcomer.expect("history")).payload
        assert [line["text"] for line in lines] == [f"line {number}" for number in range(10, 60)]
        assert (await stranger.expect("history")).payload == []
        await stranger.expect_nothing("line", within=0.01)


async def test_lines_are_still_there_when_the_server_was_started_anew(tmp_path: Path) -> None:
    async with chat(tmp_path / "chat.db") as running:
        alice = await running.connect(query={"token": "alice-token"})
        await alice.send("say", {"text": "before"})
        await alice.expect("line")
    async with chat(tmp_path / "chat.db") as running:
        bob = await running.connect(query={"token": "bob-token"})
        assert [line["text"] for line in (await bob.expect("history")).payload] == ["before"]


async def test_short_loss_of_the_network_is_seen_by_nobody_and_loses_nothing(tmp_path: Path) -> None:
    async with chat(tmp_path / "chat.db") as running:
        alice = await running.connect(query={"token": "alice-token"})
        bob = await running.connect(query={"token": "bob-token"})
        await alice.expect("joined", where=lambda frame: frame.payload["name"] == "bob")
        await bob.drop()
        await alice.send("say", {"text": "hello?"})
        await bob.reconnect()
        assert (await bob.expect("line")).payload["text"] == "hello?"
        await bob.close()
        assert (await alice.expect("left")).payload == {"name": "bob"}
        assert [frame.event for frame in alice.received] == ["history", "joined", "joined", "line", "left"]


async def test_line_that_is_too_long_is_refused_and_the_connection_stays(tmp_path: Path) -> None:
    async with chat(tmp_path / "chat.db") as running:
        alice = await running.connect(query={"token": "alice-token"})
        await alice.send("say", {"text": "x" * 1001}, id="7")
        error = await alice.expect("error")
        assert (error.id, error.payload["path"]) == ("7", "$.text")
        await alice.send("say", {"text": "x"})
        await alice.expect("line")


async def test_upgrade_is_refused_when_token_or_room_are_wrong(tmp_path: Path) -> None:
    async with chat(tmp_path / "chat.db") as running:
        for query, status, text in (
            ({}, 401, "a token is missing"),
            ({"token": ""}, 401, "a token is missing"),
            ({"token": "guess"}, 401, "this token is unknown"),
            ({"token": "alice-token", "room": "x" * 51}, 400, "a room's name has 1 to 50 characters"),
        ):
            with pytest.raises(UpgradeRefusedError) as caught:
                await running.connect(query=query)
            assert caught.value.status == status
            assert text in caught.value.text


@pytest.mark.parametrize("tokens", [None, "alice:,:x"])
def test_start_without_tokens_says_what_to_do(tokens: Any, tmp_path: Path) -> None:
    problem = pytest.raises(RuntimeError, match=r"set CHAT_TOKENS to name:token pairs, as in CHAT_TOKENS=alice:")
    with problem, serve("chat:server", cwd=EXAMPLES, env={"CHAT_TOKENS": tokens}):
        pass
