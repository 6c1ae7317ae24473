"""What the programs of doc/howto/ do, beyond that they run."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.documents.blocks import blocks
from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Frame, Server
from wspulse.actors.wire.frames import CLOSE, TEXT
from wspulse.testing import RunningServer, UpgradeRefusedError, serve

Load = Callable[[str], Server]

GUIDE = sorted((Path(__file__).parents[1] / "doc" / "howto").glob("*.md"))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Makes the server of one of the programs of doc/howto/, by its file's name without the ending."""
    files = {str(block.file_name): block.source for page in GUIDE for block in blocks(page, "python") if block.is_run}
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = []

    def load(name: str) -> Server:
        (tmp_path / f"{name}.py").write_text(files[f"{name}.py"])
        loaded.append(name)
        server = importlib.import_module(name).server
        assert isinstance(server, Server)
        return server

    yield load
    for name in loaded:
        del sys.modules[name]


async def test_auth_takes_header_cookie_and_query_and_refuses_the_rest(program: Load) -> None:
    async with serve(program("auth")) as running:
        accepted: list[dict[str, Any]] = [
            {"headers": {"Authorization": "Bearer rabbit"}},
            {"headers": {"Cookie": "session=rabbit", "Origin": "https://app.example.com"}},
            {"query": {"token": "rabbit"}},
        ]
        for how in accepted:
            client = await running.connect(**how)
            assert (await client.expect("hello")).payload == {"you": "alice"}
            await client.close()
        refused: list[tuple[dict[str, Any], int]] = [
            ({}, 401),
            ({"query": {"token": "guess"}}, 401),
            ({"query": {"token": "builder"}}, 403),
            ({"query": {"token": "rabbit"}, "headers": {"Origin": "https://evil.example.com"}}, 403),
        ]
        for how, status in refused:
            with pytest.raises(UpgradeRefusedError) as caught:
                await running.connect(**how)
            assert caught.value.status == status


async def test_page_that_is_not_let_in_is_told_why_and_its_frames_are_dropped(program: Load) -> None:
    server = program("told")
    async with serve(server) as running:
        alice = await running.connect(query={"token": "rabbit"})
        async with early_peer(running, "?token=guess") as stranger:
            assert await stranger.frame() == (CLOSE, (4401).to_bytes(2) + b"sign in first")
        await alice.expect_nothing(within=0.1)
        assert await server.presence("refused") == []
        await alice.send("said", "hi")
        assert (await alice.expect("said")).payload == "hi"


@asynccontextmanager
async def early_peer(running: RunningServer, query: str) -> AsyncIterator[RawPeer]:
    """A client that sends frames behind its request, before it has an answer."""
    url = urlsplit(running.url)
    assert url.port is not None
    early = masked(TEXT, b'{"event":"said","payload":"from outside"}') * 3
    async with await RawPeer.upgraded(url.port, url.path + query, glued=early) as peer:
        yield peer


async def test_whisper_reaches_one_member_or_says_that_nobody_is_there(program: Load) -> None:
    async with serve(program("rooms")) as running:
        alice, bob = await running.connect("alice", "tea"), await running.connect("bob", "tea")
        await alice.send("whisper", ["bob", "psst"])
        assert (await bob.expect("whisper")).payload == {"from": "alice", "text": "psst"}
        await alice.send("whisper", ["eve", "psst"], id="7")
        assert (await alice.expect("nobody")).id == "7"
        await bob.close()
        assert (await alice.expect("left")).payload == "bob"


async def test_events_are_timed_checked_and_stopped_where_the_room_is_closed(
    program: Load, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "events")
    async with serve(program("events")) as running:
        member, stranger = await running.connect(), await running.connect(room="closed")
        await member.send("room.rename", " den ", id="1")
        assert (await member.expect("room.rename")) == Frame("room.rename", {"name": "den"}, "1")
        await member.send("room.rename", " ", id="2")
        assert (await member.expect("room.rename.error")).payload["code"] == "empty"
        await member.send("chat.say", {"text": "hi"})
        assert (await member.expect("chat.said")).payload == {"text": "hi"}
        await member.send("chat.say", {"text": 1})
        assert (await member.expect("error")).payload["path"] == "$.text"
        await stranger.send("room.rename", "den", id="3")
        await stranger.expect_nothing(within=0.05)
    assert [record.message.split(" took ")[0] for record in caplog.records if record.name == "events"] == [
        *("room.rename", "chat.say", "chat.say", "room.rename")
    ]


async def test_trade_is_asked_of_the_others_and_their_answers_come_back(program: Load) -> None:
    server = program("asking")
    async with serve(server) as running:
        ann, ben = await running.connect(id="ann"), await running.connect(id="ben")
        await ann.send("trade", {"gold": 5})
        offer = await ben.expect("trade?")
        assert offer.payload == {"gold": 5}
        await ben.drop()
        await ben.reconnect()
        await ben.reply(offer, {"silver": 50})
        assert (await ann.expect("traded")).payload == {"with": "ben", "for": {"silver": 50}}
        await ann.send("trade", {"gold": 6})
        await ben.reply(await ben.expect("trade?"), "broke", error=True)
        assert (await ann.expect("refused")).payload == {"by": "ben", "since": "broke"}
        await ann.send("trade", {"gold": 7})
        await ben.expect("trade?")
        await server.kick("ben")
        assert (await ann.expect("silent")).payload == {"who": "ben"}


async def test_export_waits_for_a_slow_client_and_loses_no_row(program: Load) -> None:
    async with serve(program("backpressure"), timeout=30) as running:
        client = await running.connect()
        client.pause_reading()
        await client.send("export", 30_000)
        other = await running.connect()
        await other.send("export", 3)
        await other.expect("end")
        client.resume_reading()
        await client.expect("end")
        assert [frame.payload["n"] for frame in client.received[:-1]] == list(range(30_000))


async def test_stream_ends_when_its_reader_has_gone_and_goes_on_when_only_the_network_has(program: Load) -> None:
    server = program("stream")
    module = sys.modules["stream"]
    ended: list[str] = []

    async def endless(prompt: str) -> AsyncGenerator[str, None]:
        try:
            while True:
                yield prompt
                await asyncio.sleep(0.01)
        finally:
            ended.append(prompt)

    module.model = endless  # type: ignore[attr-defined]
    async with serve(server) as running:
        reader = await running.connect("ada")
        await reader.send("ask", "why?", id="1")
        assert await reader.expect("token") == Frame("token", "why?", "1")
        await reader.drop()
        (connection,) = server.local_connections()
        await eventually(lambda: connection.queued > 3, "the answer waits for its reader")
        await reader.reconnect()
        await reader.expect("token")
        assert ended == []
        await reader.close()
        await eventually(lambda: ended == ["why?"], "the model is no longer asked")
        assert connection.suspended


async def test_what_came_from_fastapi_says_the_same(program: Load) -> None:
    async with serve(program("after_fastapi")) as running:
        one = await running.connect(query={"client_id": "1"})
        two = await running.connect(query={"client_id": "2"})
        await one.send("say", "hi")
        assert (await one.expect("note")).payload == "You wrote: hi"
        for client in (one, two):
            assert (await client.expect("said")).payload == "Client #1 says: hi"
        await one.close()
        assert (await two.expect("left")).payload == "Client #1 left the chat"


async def test_what_came_from_socketio_says_the_same(program: Load, capsys: pytest.CaptureFixture[str]) -> None:
    async with serve(program("after_socketio")) as running:
        alice, bob = [await running.connect(query={"token": token}) for token in ("rabbit", "builder")]
        for member in (alice, bob):
            await member.send("join", "tea", id="1")
            assert await member.expect("join") == Frame("join", {"ok": True}, "1")
        await alice.send("say", {"room": "tea", "text": "hi"}, id="2")
        assert await alice.expect("say") == Frame("say", {"ok": True}, "2")
        assert (await bob.expect("said")).payload == {"user": "alice", "text": "hi"}
        await alice.send("say", {"room": "den", "text": "hi"}, id="3")
        assert await alice.expect("say.error") == Frame("say.error", "you are not in this room", "3")
        await alice.expect_nothing(within=0)
        with pytest.raises(UpgradeRefusedError, match="401 bad token"):
            await running.connect(query={"token": "guess"})
        await alice.close()
        await bob.close()
    assert sorted(capsys.readouterr().out.splitlines()) == ["alice left", "bob left"]


async def test_whisper_reaches_every_tab_of_a_user_and_a_logout_ends_them_with_its_reason(program: Load) -> None:
    async with serve(program("tabs")) as running:
        bob = await running.connect(query={"user": "bob", "tab": "1"})
        tabs = [await running.connect(query={"user": "ada", "tab": tab}) for tab in "12"]
        with pytest.raises(UpgradeRefusedError, match="401 say who you are"):
            await running.connect(query={"user": "bob/ada", "tab": "1"})
        await bob.send("whisper", {"to": "ada", "text": "hello"})
        for tab in tabs:
            assert (await tab.expect("whisper")).payload == {"from": "bob", "text": "hello"}
        await tabs[0].send("log out")
        for tab in tabs:
            closed = await tab.closed()
            assert (closed.code, closed.reason) == (4001, "logged out")
        assert bob.is_open
