"""The chat page in a real browser, over two workers: talk, cut the line, resume; names are text and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.documents.blocks import blocks
from tests.support.processes.browser import Browser, Page, find_chromium
from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse import Control
from wspulse.actors.mesh.placement import Placement

ROOT = Path(__file__).parents[2]

CHROMIUM = find_chromium()

HOSTILE = "<img src=x onerror=alert(1)>"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not hasattr(os, "getsid"),
    reason="no Chromium here (Debian: apt-get install chromium); scripts/test installs it where it may",
)


async def join(page: Page, name: str) -> None:
    await page.type_into("#name", name)
    await page.click("#join button")
    await page.until("document.body.dataset.state === 'connected'")


async def say(page: Page, text: str) -> None:
    await page.type_into("#text", text)
    await page.click("#say button")


async def said(page: Page) -> list[str]:
    """What the page shows of what was said, in its order."""
    found: list[str] = await page.evaluate("[...document.querySelectorAll('#log .said .what')].map(e => e.textContent)")
    return found


async def until_said(page: Page, text: str) -> None:
    await page.until(
        f"[...document.querySelectorAll('#log .said .what')].some(e => e.textContent === {json.dumps(text)})"
    )


async def until_note(page: Page, text: str) -> None:
    await page.until(
        f"[...document.querySelectorAll('#log .note')].some(e => e.textContent.includes({json.dumps(text)}))"
    )


async def check_client_of_the_document(page: Page, server: ServerProcess) -> None:
    """The browser client of doc/reference/protocol.md comes back with its id, says what waited, and ends when it is replaced, or
    when the application says why."""
    functions, use = (block.source for block in blocks(ROOT / "doc" / "reference" / "protocol.md", "js"))
    await page.evaluate("window.heard = [], console.log = (event, payload) => event === 'said' && heard.push(payload)")
    await page.evaluate(f"window.eval({json.dumps(functions + use.replace('const line', 'var line'))})")
    await page.until("heard.join() === 'hello'")
    await page.evaluate("line.socket.close(); line.say({event: 'said', payload: 'said into the void'})")
    await page.until("heard.join() === 'hello,said into the void'")
    with Control(server.control) as control:
        control.kick(await page.evaluate("sessionStorage.id"), code=1012)
        await page.until("line.socket.readyState === WebSocket.CLOSED")
        await page.until("line.socket.readyState === WebSocket.OPEN")
        await page.evaluate("other = openLine(`${line.socket.url}2`, () => 0)")
        await page.until("other.socket.readyState === WebSocket.OPEN")
        control.kick(await page.evaluate("sessionStorage.id") + "2", code=4003)
        await page.until("other.socket.readyState === WebSocket.CLOSED")
    await page.evaluate(f"new WebSocket(`{server.url}?room=docs&id=${{sessionStorage.id}}`)")
    await page.until("line.socket.readyState === WebSocket.CLOSED")
    await page.evaluate("new Promise(done => setTimeout(done, 600))")
    assert await page.evaluate("line.socket.readyState === WebSocket.CLOSED"), "it stays away"
    assert await page.evaluate("other.socket.readyState === WebSocket.CLOSED"), "and from what the application says"


async def check_placement(page: Page) -> None:
    """The page's way of finding an id's worker is the server's."""
    ids = [f"Zoë {number}~{number:06x}" for number in range(50)]
    for workers in (1, 2, 7):
        placement = Placement(workers)
        expression = (
            f"import('/_wspulse/placement.js').then(m => {json.dumps(ids)}.map(id => m.workerOf(id, {workers})))"
        )
        assert await page.evaluate(expression) == [placement.shard_of(name) for name in ids]


async def test_two_pages_talk_across_workers_one_is_cut_and_nothing_is_lost() -> None:
    assert CHROMIUM is not None
    room = "<script>alert(1)</script>"
    with serve_process(workers=2) as server:
        async with Browser.start(CHROMIUM) as browser:
            ada = await browser.open(f"http://127.0.0.1:{server.port}/")
            await check_placement(ada)
            await ada.type_into("#room", room)
            await join(ada, "Ada")
            assert await ada.evaluate("document.querySelector('#title').textContent") == room

            # The second window, as the page's own link opens it: in the same room, on the other worker.
            bob = await browser.open(await ada.evaluate("document.querySelector('#second').href"))
            await join(bob, HOSTILE)
            workers = [await page.evaluate("document.querySelector('#status').textContent") for page in (ada, bob)]
            assert sorted(workers) == ["worker 0 of 2", "worker 1 of 2"]
            await until_note(ada, f"{HOSTILE} came, on worker {workers[1].split()[1]}")
            people = "[...document.querySelectorAll('#people li')].map(e => e.textContent).sort()"
            listed = sorted([f"Ada (you){workers[0][:8]}", f"{HOSTILE}{workers[1][:8]}"])
            await ada.until(f"JSON.stringify({people}) === {json.dumps(json.dumps(listed, separators=(',', ':')))}")

            for number in range(5):
                await say(ada, f"a{number} {HOSTILE}")
                await say(bob, f"b{number}")
            for page in (ada, bob):
                await until_said(page, f"a4 {HOSTILE}")
                await until_said(page, "b4")
            assert await said(ada) == await said(bob), "both see one order"

            # Ada's line is cut. Both go on talking; Bob sees it happen.
            await ada.click("#cut")
            await ada.until("document.body.dataset.state === 'waiting'")
            await until_note(bob, "Ada lost the connection")
            await say(bob, "are you there?")
            await say(ada, "said into the void")
            await until_said(bob, "are you there?")
            assert "are you there?" not in await said(ada)
            assert await ada.evaluate("document.querySelectorAll('#pending .said').length") == 1

            await ada.click("#cut")  # "Reconnect now"
            await until_note(bob, "Ada is back")
            await until_said(bob, "said into the void")
            await until_said(ada, "said into the void")
            await until_note(ada, "the session went on")
            assert await said(ada) == await said(bob)
            assert len(await said(ada)) == len(set(await said(ada))) == 12
            assert await ada.evaluate("document.querySelectorAll('#pending .said').length") == 0

            # A reloaded page has forgotten what it was told: it is the same person in a new session.
            await bob.call("Page.reload")
            await until_note(bob, "You are connected")
            await bob.until("document.querySelectorAll('#people li').length === 2")
            await say(bob, "after the reload")
            await until_said(ada, "after the reload")
            await ada.until("document.querySelectorAll('#people li').length === 2")
            await ada.until("document.querySelectorAll('#people .away').length === 0")

            # Her worker is drained while she is away: what she said meanwhile goes out in the new session.
            ada_worker = int(workers[0].split()[1])
            await ada.click("#cut")
            await ada.until("document.body.dataset.state === 'waiting'")
            await say(ada, "said in between")
            with Control(server.control) as control:
                control.restart(ada_worker, drain=True)
            await until_note(ada, "Back in a new session")
            await until_said(bob, "said in between")
            await until_said(ada, "said in between")
            assert await ada.evaluate("document.querySelectorAll('#pending .said').length") == 0

            # Who speaks without this page is shown as they speak, and a second page of one id ends the first for good.
            await bob.evaluate(
                f"page_id = JSON.parse(sessionStorage.wspulse).id, new WebSocket('ws://127.0.0.1:{server.port}/ws?'"
                "+ new URLSearchParams({room: document.querySelector('#title').textContent, id: page_id})).onopen"
                " = e => e.target.send(JSON.stringify({event: 'hi', payload: '<b>there</b>'}))"
            )
            await ada.until("document.querySelector('#log .foreign .what')?.textContent.includes('<b>there</b>')")
            await bob.until("document.body.dataset.state === 'ended'")
            await until_note(bob, "opened in another window")

            with Control(server.control) as control:
                ada_id = await ada.evaluate("JSON.parse(sessionStorage.wspulse).id")
                control.kick(ada_id, code=4003, reason="banned <b>for good</b>")
            await ada.until("document.body.dataset.state === 'ended'")
            await until_note(ada, "The server closed the connection: banned <b>for good</b> (4003).")

            reader = await browser.open(f"http://127.0.0.1:{server.port}/healthz")
            await check_client_of_the_document(reader, server)

            for page in (ada, bob):
                assert await page.evaluate("document.querySelectorAll('#house script, #house img, #log b').length") == 1
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert page.complaints == []
