"""The chat of doc/tutorial.md, made of its blocks as a reader makes it: with clients after each step, and its page in a
browser."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.documents.blocks import Block, blocks
from tests.support.processes.browser import Browser, Page, find_chromium
from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse import Control
from wspulse.testing import Client, RunningServer, serve

DOCUMENT = Path(__file__).parents[2] / "doc" / "tutorial.md"
STEPS = 6
CHROMIUM = find_chromium()

TOKENS = {"ada": "rabbit", "bob": "builder", "carol": "castle"}

needs_browser = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium here (Debian: apt-get install chromium); scripts/test installs it where it may",
)


def join_blocks(found: list[Block], steps: int) -> str:
    return "\n".join(block.source for block in found[:steps])


def program_blocks() -> list[Block]:
    return [block for block in blocks(DOCUMENT, "python") if block.file_name != "test_chat.py"]


def write_program(folder: Path, steps: int = STEPS) -> None:
    """The document's file chat.py, as it is after so many steps."""
    (folder / "chat.py").write_text(join_blocks(program_blocks(), steps))


@pytest.fixture(params=[1, 4], ids=["1 worker", "4 workers"])
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., serve]:
    """Serves the chat after so many steps."""

    def run(steps: int = STEPS) -> serve:
        write_program(tmp_path, steps)
        return serve("chat:server", workers=request.param, cwd=tmp_path, timeout=20)

    return run


async def enter(running: RunningServer, user: str, tab: str = "1") -> Client:
    client = await running.connect(query={"token": TOKENS[user], "tab": tab})
    assert (await client.expect("welcome")).payload == {"user": user, "rooms": ["lobby"]}
    assert (await client.expect("joined")).payload == {"id": f"{user}/{tab}", "user": user, "away": False}
    return client


async def ask(client: Client, event: str, payload: object = None) -> object:
    await client.send(event, payload, id="q")
    answer = await client.expect(event)
    assert answer.id == "q"
    return answer.payload


async def refusal(client: Client, event: str, payload: object = None) -> object:
    """The code of an answer that is an error."""
    await client.send(event, payload, id="q")
    answer = await client.expect(f"{event}.error")
    assert answer.id == "q"
    return answer.payload["code"]


async def people(client: Client, room: str = "lobby") -> list[tuple[str, bool]]:
    members = await ask(client, "who", room)
    assert isinstance(members, list)
    return sorted((member["id"], member["away"]) for member in members)


def test_each_step_brings_one_block_to_each_file() -> None:
    python, html = program_blocks(), blocks(DOCUMENT, "html")
    assert len(python) == len(html) == STEPS
    for at, block in enumerate(python):
        assert (block.added_to if at else block.file_name) == "chat.py"
    for at, block in enumerate(html):
        assert (
            "at the end of chat.html" in block.source.splitlines()[0]
            if at
            else block.source.startswith("<!-- chat.html")
        )


@pytest.mark.parametrize("steps", range(1, STEPS))
async def test_chat_runs_after_each_step(tmp_path: Path, caplog: pytest.LogCaptureFixture, steps: int) -> None:
    write_program(tmp_path, steps)
    async with serve(runpy.run_path(str(tmp_path / "chat.py"))["server"]) as running:
        ada = await enter(running, "ada")
        assert await ask(ada, "say", {"room": "lobby", "text": "hi"}) is True
        assert (await ada.expect("said")).payload == {"user": "ada", "text": "hi"}
        await ada.drop()
        await ada.reconnect()  # as a page does that is reloaded: it needs to be told everything again
        assert (await ada.expect("welcome")).payload == {"user": "ada", "rooms": ["lobby"]}
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_stranger_is_told_why_and_nobody_else_hears_of_it(chat: Callable[..., serve]) -> None:
    async with chat() as running:
        ada = await enter(running, "ada")
        stranger = await running.connect(query={"token": "guess", "tab": "1"})
        closed = await stranger.closed()
        assert (closed.code, closed.reason) == (4401, "nobody has this token")
        assert stranger.received == []
        await ada.expect_nothing(within=0.1)


async def test_replies_say_what_cannot_be_done(chat: Callable[..., serve]) -> None:
    async with chat() as running:
        bob = await enter(running, "bob")
        assert await refusal(bob, "say", {"room": "attic", "text": "boo"}) == "not_in_room"
        assert await refusal(bob, "say", {"room": "user:bob", "text": "boo"}) == "not_in_room"
        assert await refusal(bob, "leave", "lobby") == "first_room"
        assert await refusal(bob, "leave", "attic") == "not_in_room"
        assert await refusal(bob, "whisper", {"to": "carol", "text": "psst"}) == "not_here"
        assert await refusal(bob, "ban", "carol") == "forbidden"
        for event, payload in (("say", {"room": "lobby", "text": ""}), ("join", "user:ada"), ("join", "a b")):
            await bob.send(event, payload, id="bad")
            invalid = await bob.expect("error")
            assert (invalid.id, invalid.payload["code"]) == ("bad", "invalid_payload")
        for number in range(127):  # with the room of his tabs 128
            assert await ask(bob, "join", f"r{number}") is True
        assert await refusal(bob, "join", "one_more") == "too_many_rooms"
        assert bob.is_open


async def test_rooms_hear_what_is_said_in_them_and_who_comes_and_goes(chat: Callable[..., serve]) -> None:
    async with chat() as running:
        ada, bob, carol = [await enter(running, user) for user in TOKENS]
        for member in (ada, bob):
            assert await ask(member, "join", "tea") is True
        assert await people(bob, "tea") == [("ada/1", False), ("bob/1", False)]
        assert await refusal(carol, "who", "tea") == "not_in_room"
        for client in (ada, bob, carol):
            client.skip()
        assert await ask(ada, "say", {"room": "tea", "text": "hi"}) is True
        assert (await bob.expect("said")).payload == {"user": "ada", "text": "hi"}
        await ada.send("typing", "tea")
        assert (await bob.expect("typing")).payload == "ada"
        assert await ask(ada, "leave", "tea") is True
        assert (await bob.expect("left")).payload["user"] == "ada"
        assert await people(bob, "tea") == [("bob/1", False)]
        await ada.expect_nothing("typing", within=0)
        assert await people(carol) == [("ada/1", False), ("bob/1", False), ("carol/1", False)]
        await carol.expect_nothing(within=0)


async def test_who_is_away_is_shown_so_until_they_are_back(chat: Callable[..., serve]) -> None:
    async with chat() as running:
        ada, bob = await enter(running, "ada"), await enter(running, "bob")
        await ask(bob, "join", "tea")
        await ada.expect("joined")
        await bob.drop()
        assert (await ada.expect("away")).payload == {"id": "bob/1", "user": "bob", "away": True}
        assert await people(ada) == [("ada/1", False), ("bob/1", True)]
        await ask(ada, "say", {"room": "lobby", "text": "hello?"})
        await bob.reconnect()
        assert (await bob.expect("said")).payload["text"] == "hello?"
        assert (await bob.expect("welcome")).payload == {"user": "bob", "rooms": ["lobby", "tea"]}
        assert (await ada.expect("back")).payload == {"id": "bob/1", "user": "bob", "away": False}
        await bob.close()
        assert (await ada.expect("left")).payload["id"] == "bob/1"
        assert await people(ada) == [("ada/1", False)]


async def test_all_tabs_of_a_user_are_reached_and_the_others_are_logged_out(chat: Callable[..., serve]) -> None:
    async with chat() as running:
        tabs = [await enter(running, "ada", tab) for tab in ("1", "2", "3")]
        bob = await enter(running, "bob")
        assert await ask(bob, "whisper", {"to": "ada", "text": "psst"}) is True
        for client in (bob, *tabs):
            assert (await client.expect("whispered")).payload == {"from": "bob", "to": "ada", "text": "psst"}
        assert await ask(tabs[0], "only.here") == 2
        for tab in tabs[1:]:
            closed = await tab.closed()
            assert (closed.code, closed.reason) == (4001, "logged in elsewhere")
        assert tabs[0].is_open
        assert await people(bob) == [("ada/1", False), ("bob/1", False)]


async def test_who_is_banned_is_thrown_out_of_all_tabs_and_does_not_come_in_again(chat: Callable[..., serve]) -> None:
    async with chat() as running:
        ada, bob, other = await enter(running, "ada"), await enter(running, "bob"), await enter(running, "bob", "2")
        await other.drop()
        await ada.expect("away")
        assert await ask(ada, "ban", "bob") == 2
        closed = await bob.closed()
        assert (closed.code, closed.reason) == (4003, "banned by ada")
        assert sorted([(await ada.expect("left")).payload["id"] for _ in range(2)]) == ["bob/1", "bob/2"]
        again = await running.connect(query={"token": TOKENS["bob"], "tab": "1"})
        closed = await again.closed()
        assert (closed.code, closed.reason) == (4003, "banned")
        assert await people(ada) == [("ada/1", False)]
        assert "Traceback" not in running.log


# The page.


class Person:
    """Somebody at the page, in a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def come_in(self, token: str) -> None:
        await self.page.type_into("#token", token)
        await self.page.click("#enter button")

    async def say(self, text: str) -> None:
        await self.page.type_into("#text", text)
        await self.page.click("#say button")

    async def until_shown(self, text: str, selector: str = "#log") -> None:
        await self.page.until(f"document.querySelector({json.dumps(selector)}).innerText.includes({json.dumps(text)})")

    async def until_people(self, *names: str) -> None:
        await self.page.until(
            f"document.querySelector('#people').innerText.split(/\\n+/).join() === '{','.join(names)}'"
        )


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def page_site(tmp_path: Path) -> Iterator[Callable[[ServerProcess], str]]:
    """Writes the page for a server, and gives its address. Served, since Chromium sometimes forgets the `sessionStorage` of a
    page from disk when that is reloaded."""

    def write(server: ServerProcess) -> str:
        text = join_blocks(blocks(DOCUMENT, "html"), STEPS)
        assert text.count("127.0.0.1:8000") == 1
        (tmp_path / "chat.html").write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"))
        (tmp_path / "favicon.ico").touch()  # browsers ask for it
        return f"http://127.0.0.1:{site.server_port}/chat.html"

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(tmp_path))) as site:
        serving = Thread(target=site.serve_forever)
        serving.start()
        yield write
        site.shutdown()
        serving.join()


@needs_browser
@pytest.mark.parametrize("workers", [1, 4])
async def test_page_shows_all_that_the_document_says(
    workers: int, tmp_path: Path, page_site: Callable[[ServerProcess], str]
) -> None:
    assert CHROMIUM is not None
    write_program(tmp_path)
    with serve_process("--app", "chat:server", workers=workers, cwd=tmp_path) as server:
        url = page_site(server)
        async with Browser.start(CHROMIUM) as browser:
            ada, tab, bob = [Person(await browser.open(url)) for _ in range(3)]

            await bob.come_in("guess")
            await bob.until_shown("You were not let in: nobody has this token (4401)", "#status")
            await ada.come_in("rabbit")
            await bob.come_in("builder")
            await tab.come_in("rabbit")
            for person in (ada, tab, bob):
                await person.until_people("ada", "bob")

            await ada.say("hello <b>all</b>")
            for person in (ada, tab, bob):
                await person.until_shown("[lobby] ada: hello <b>all</b>")
            await bob.page.type_into("#text", "I am th")
            await ada.until_shown("bob typing", "#typing")
            await bob.say("I am thinking")
            await ada.until_shown("[lobby] bob: I am thinking")
            await ada.page.until("document.querySelector('#typing').innerText === ''")
            assert await bob.page.evaluate("document.querySelector('#typing').innerText") == ""

            await bob.page.evaluate("ask('say', {room: 'attic', text: 'boo'}).catch(problem)")
            await bob.until_shown("you are not in attic")
            await bob.say("")
            await bob.until_shown("Expected `str` of length >= 1")
            await bob.say("/ban carol")
            await bob.until_shown("only admins may ban")
            await bob.say("/whisper carol psst")
            await bob.until_shown("carol is not here")
            await bob.say("/whisper ada psst")
            for person in (ada, tab, bob):
                await person.until_shown("bob → ada: psst")

            for person in (ada, bob):
                await person.page.type_into("#room", "tea")
                await person.page.click("#join button")
                await person.until_shown("tea", "#rooms")
                await person.page.until("here === 'tea'")
            await ada.until_people("ada", "bob")
            await ada.say("milk?")
            await bob.until_shown("[tea] ada: milk?")

            # A reload is a moment's absence; the rooms are there again, and a new session joins them again.
            await bob.page.call("Page.reload")
            await bob.page.until(
                "document.readyState === 'complete' && document.querySelector('#log').innerText === ''"
            )
            await bob.come_in("builder")
            await bob.until_shown("tea", "#rooms")
            with Control(server.control) as control:
                control.kick(await ada_id(ada, control), code=1012)
            await bob.until_shown("[tea] ada is here")
            await ada.until_people("ada", "bob")

            await ada.page.click("#only")
            await tab.until_shown("You are logged in elsewhere: logged in elsewhere (4001)", "#status")
            await ada.until_shown("Logged out elsewhere: 1")
            await ada.say("/ban bob")
            await bob.until_shown("You are banned: banned by ada (4003)", "#status")
            await ada.until_people("ada")
            await bob.come_in("builder")
            await bob.until_shown("You are banned: banned (4003)", "#status")
            for person in (ada, tab, bob):
                assert await person.page.evaluate("document.querySelectorAll('#log b').length") == 0
                assert person.page.complaints == []


async def ada_id(ada: Person, control: Control) -> str:
    """The id of that tab: of the two it is the one in the room."""
    (found,) = [member.id for member in control.presence("tea") if member.id.startswith("ada/")]
    assert found == f"ada/{await ada.page.evaluate('tab')}"
    return found
