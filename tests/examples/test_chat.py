"""examples/chat.py, with one worker and with four, and real clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.examples.support import EXAMPLES
from wspulse import ReplyError
from wspulse.testing import Client, Closed, RunningServer, UpgradeRefusedError, serve

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
ENVIRONMENT = {"CHAT_TOKENS": ", ".join(f"{name}:{name}-token" for name in NAMES), "CHAT_ADMINS": "alice"}

Chat = Callable[[], AbstractAsyncContextManager[RunningServer]]


@pytest.fixture(params=[1, 4], ids=["1 worker", "4 workers"])
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Chat:
    """Starts the chat, again and again with the same database."""

    @asynccontextmanager
    async def start() -> AsyncIterator[RunningServer]:
        env = {**ENVIRONMENT, "CHAT_DATABASE": str(tmp_path / "chat.db")}
        async with serve("chat:server", workers=request.param, cwd=EXAMPLES, env=env) as running:
            yield running
        assert "raised" not in running.log

    return start


async def enter(running: RunningServer, name: str, *rooms: str, tab: str = "1") -> Client:
    client = await running.connect(query={"token": f"{name}-token", "tab": tab})
    for room in rooms:
        await client.call("join", room)
    return client


async def error_of(client: Client, event: str, payload: Any) -> Any:
    with pytest.raises(ReplyError) as refused:
        await client.call(event, payload)
    return refused.value.payload


async def test_lines_reach_the_room_on_every_worker_and_stay_for_newcomers(chat: Chat) -> None:
    async with chat() as running:
        everybody = [await enter(running, name, "tea") for name in NAMES[:4]]
        stranger = await enter(running, "erin", "coffee")
        for number in range(60):
            reply = await everybody[number % 4].call("say", {"room": "tea", "text": f"line {number}"})
            for person in everybody:
                line = await person.expect("line", room="tea")
                assert (line.payload["name"], line.payload["text"]) == (NAMES[number % 4], f"line {number}")
                assert line.payload["number"] == reply.payload
        joined = (await (await enter(running, "frank")).call("join", "tea")).payload
        assert [line["text"] for line in joined["lines"]] == [f"line {number}" for number in range(10, 60)]
        assert joined["people"] == sorted([*NAMES[:4], "frank"])
        await stranger.expect_nothing("line", within=0.01)
    async with chat() as running:
        bob = await enter(running, "bob")
        assert (await bob.call("join", "tea")).payload["lines"][-1]["text"] == "line 59"


async def test_person_is_in_several_rooms_and_hears_no_more_of_one_that_was_left(chat: Chat) -> None:
    async with chat() as running:
        alice, bob = await enter(running, "alice", "tea", "coffee"), await enter(running, "bob", "tea", "coffee")
        for room in ("coffee", "tea"):
            await alice.call("say", {"room": room, "text": f"in {room}"})
            assert (await bob.expect("line", room=room)).payload["text"] == f"in {room}"
        assert (await bob.call("leave", "tea")).payload == {"left": "tea"}
        assert (await alice.expect("left", room="tea")).payload == {"name": "bob", "tab": "bob/1"}
        assert (await alice.call("who", "tea")).payload == ["alice"]
        assert (await alice.call("who", "coffee")).payload == ["alice", "bob"]
        await alice.call("say", {"room": "tea", "text": "alone"})
        await alice.call("say", {"room": "coffee", "text": "still together"})
        assert (await bob.expect("line")).payload["text"] == "still together"
        await bob.close()
        assert (await alice.expect("left", room="coffee")).payload["name"] == "bob"
        await alice.expect_nothing("left", within=0.01)


async def test_others_see_who_is_typing_and_the_one_who_types_does_not(chat: Chat) -> None:
    async with chat() as running:
        everybody = [await enter(running, name, "tea") for name in NAMES[:4]]
        await everybody[0].send("typing", "tea")
        await everybody[0].call("say", {"room": "tea", "text": "hello"})
        for person in everybody[1:]:
            assert (await person.expect("typing", room="tea")).payload == {"name": "alice", "tab": "alice/1"}
        await everybody[0].expect("line")
        await everybody[0].expect_nothing("typing", within=0.01)


async def test_whisper_reaches_every_tab_of_one_person(chat: Chat) -> None:
    async with chat() as running:
        alice, carol = await enter(running, "alice"), await enter(running, "carol")
        tabs = [await enter(running, "bob", tab=tab) for tab in ("1", "2", "3", "4")]
        assert (await alice.call("whisper", {"to": "bob", "text": "psst"})).payload == {"tabs": 4}
        for tab in tabs:
            assert (await tab.expect("whisper")).payload == {"from": "alice", "text": "psst"}
        await carol.expect_nothing("whisper", within=0.01)
        assert await error_of(alice, "whisper", {"to": "dave", "text": "psst"}) == {"code": "not_here", "name": "dave"}


async def test_short_loss_of_the_network_is_seen_by_nobody_and_loses_nothing(chat: Chat) -> None:
    async with chat() as running:
        alice, bob = await enter(running, "alice", "tea"), await enter(running, "bob", "tea", "coffee")
        await bob.drop()
        assert (await alice.call("who", "tea")).payload == ["alice", "bob"]
        await alice.call("say", {"room": "tea", "text": "hello?"})
        await bob.reconnect()
        assert (await bob.expect("line", room="tea")).payload["text"] == "hello?"
        assert (await bob.call("who", "coffee")).payload == ["bob"]
        await bob.close()
        assert (await alice.expect("left")).payload == {"name": "bob", "tab": "bob/1"}
        assert [frame.event for frame in alice.received if not frame.id] == ["joined", "line", "left"]


async def test_wrong_requests_are_answered_with_an_error_and_the_connection_stays(chat: Chat) -> None:
    async with chat() as running:
        bob = await enter(running, "bob", "tea")
        for event, payload, path in (
            ("say", {"room": "tea", "text": "x" * 1001}, "$.text"),
            ("join", "user:alice", "$"),
            ("join", "", "$"),
        ):
            error = await error_of(bob, event, payload)
            assert (error["code"], error["path"]) == ("invalid_payload", path)
        for event, payload in (("say", {"room": "coffee", "text": "x"}), ("typing", "coffee"), ("leave", "coffee")):
            assert await error_of(bob, event, payload) == {"code": "join_first", "room": "coffee"}
        for number in range(19):
            await bob.call("join", f"room {number}")
        assert await error_of(bob, "join", "one more") == {"code": "too_many_rooms"}
        assert await error_of(bob, "ban", "alice") == {"code": "admins_only"}
        await bob.call("say", {"room": "tea", "text": "still here"})


async def test_banned_person_is_told_so_in_every_tab_and_cannot_come_back(chat: Chat) -> None:
    async with chat() as running:
        alice = await enter(running, "alice", "tea")
        tabs = [await enter(running, "bob", "tea", tab=tab) for tab in ("1", "2", "3", "4")]
        away = await enter(running, "bob", "tea", tab="away")
        await away.drop()
        assert (await alice.call("ban", "bob")).payload == {"tabs": 5}
        for tab in tabs:
            assert await tab.closed() == Closed(4003, "banned")
        left = {(await alice.expect("left")).payload["tab"] for _ in range(5)}
        assert left == {"bob/1", "bob/2", "bob/3", "bob/4", "bob/away"}
        assert (await alice.call("who", "tea")).payload == ["alice"]
        await tabs[0].reconnect()
        assert await tabs[0].closed() == Closed(4003, "banned")
    async with chat() as running:
        again = await enter(running, "bob")
        assert await again.closed() == Closed(4003, "banned")


async def test_tab_that_logs_the_others_out_is_the_only_one_left(chat: Chat) -> None:
    async with chat() as running:
        tabs = [await enter(running, "bob", tab=tab) for tab in ("1", "2", "3", "4")]
        alice = await enter(running, "alice")
        assert (await tabs[2].call("log_out_others")).payload == {"tabs": 3}
        for tab in (tabs[0], tabs[1], tabs[3]):
            assert await tab.closed() == Closed(4001, "logged in elsewhere")
        await tabs[2].call("join", "tea")
        await alice.call("join", "tea")


async def test_upgrade_is_refused_when_the_token_is_wrong(chat: Chat) -> None:
    async with chat() as running:
        for query, status, text in (
            ({}, 401, "a token is missing"),
            ({"token": ""}, 401, "a token is missing"),
            ({"token": "guess"}, 401, "this token is unknown"),
            ({"token": "bob-token", "tab": "x" * 41}, 400, "a tab's name has at most 40 characters"),
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
