"""The chat page in a real browser, over two workers: talk, cut the line, resume; names are text and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.documents.blocks import blocks
from tests.support.processes.browser import Browser, Page, find_chromium
from tests.support.processes.chat_page import LATER, join, open_socket, said, say, until_note, until_said
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
            await until_note(ada, f"{HOSTILE} joined on worker {workers[1].split()[1]}")
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
            own = "document.querySelector('#pending .who bdi').textContent"
            assert await ada.evaluate(own) == "waiting for the connection"

            await ada.click("#cut")  # "Reconnect"
            await until_note(bob, "Ada is back")
            await until_said(bob, "said into the void")
            await until_said(ada, "said into the void")
            await until_note(ada, "Reconnected to the same session. 1 missed message is above.")
            assert await said(ada) == await said(bob)
            assert len(await said(ada)) == len(set(await said(ada))) == 12
            assert await ada.evaluate("document.querySelectorAll('#pending .said').length") == 0

            # A reloaded page has forgotten what it was told: it is the same person in a new session.
            await bob.call("Page.reload")
            await until_note(bob, "You are back. This page does not keep earlier messages.")
            assert await said(bob) == []
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
            await until_note(ada, "Reconnected in a new session. What others wrote meanwhile is missing here. Your own")
            await until_said(bob, "said in between")
            await until_said(ada, "said in between")
            assert await ada.evaluate("document.querySelectorAll('#pending .said').length") == 0

            # Who speaks without this page is shown as they speak, and whose id is taken away takes another one.
            bob_id = await bob.evaluate("JSON.parse(sessionStorage.wspulse).id")
            await bob.evaluate(LATER)
            await bob.evaluate(open_socket(server, json.dumps(bob_id)))
            await ada.until("document.querySelector('#log .raw .what')?.textContent.includes('<b>there</b>')")
            await until_note(bob, "Another window took over the id of this one, which now has a new id.")
            await bob.until("document.body.dataset.state === 'connected'")
            assert await bob.evaluate("JSON.parse(sessionStorage.wspulse).id") != bob_id

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


async def test_window_that_was_copied_takes_an_id_of_its_own_and_a_reload_keeps_it() -> None:
    assert CHROMIUM is not None
    known = "JSON.parse(sessionStorage.wspulse).id"
    with serve_process(workers=2) as server:
        async with Browser.start(CHROMIUM) as browser:
            ada = await browser.open(f"http://127.0.0.1:{server.port}/")
            await ada.type_into("#room", "tea & עוגיות")
            await join(ada, "Ada")
            first = await ada.evaluate(known)

            copied = await browser.opened_by(ada, "window.open(location.href)")
            await copied.until("document.body.dataset.state === 'connected'")
            await until_note(copied, "Your other window is still in this room")
            second = await copied.evaluate(known)
            assert second != first
            assert second.split("~")[0] == "Ada"
            for page, own in ((ada, first), (copied, second)):
                await page.evaluate("marked = true")
                await page.call("Page.reload")
                await page.until("typeof marked === 'undefined' && document.body?.dataset.state === 'connected'")
                assert await page.evaluate(known) == own
            await ada.until("document.querySelectorAll('#people li').length === 2")
            assert await ada.evaluate("document.body.dataset.state") == "connected"

            # Away and here again: a page that the browser keeps for a way back does not keep the id from this one.
            await ada.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/healthz")
            await ada.until("location.pathname === '/healthz' && document.readyState === 'complete'")
            await ada.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
            await ada.until("document.body?.dataset.state === 'connected'")
            await until_note(ada, "You are back.")
            assert await ada.evaluate(known) == first

            # The link carries the room: for who comes anew, and in a window that was in another room.
            link = await ada.evaluate("document.querySelector('#link').href")
            assert link == await ada.evaluate("location.href")
            guest = await browser.open(link)
            await join(guest, "Guest")
            await ada.until("document.querySelectorAll('#people li').length === 3")
            await guest.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/?room=coffee")
            await guest.until("document.querySelector('#title')?.textContent === 'coffee'")
            await guest.until("document.body.dataset.state === 'connected'")
            await ada.until("document.querySelectorAll('#people .away').length === 1")

            for page in (ada, copied, guest):
                assert [text for text in page.complaints if "404" not in text] == [], (
                    "but for the icon of the health check"
                )
