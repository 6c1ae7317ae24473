"""The chat page in a real browser, over two workers: talk, cut the line, resume; names are text and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.documents.blocks import blocks
from tests.support.processes.browser import Browser, Page, find_chromium
from tests.support.processes.server_process import ServerProcess, serve_process
from wspulse import Control, Frame
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


LATER = "real = Date.now.bind(Date), Date.now = () => real() + 6000, 0"
"""Has the page believe that it has been connected for a while."""


def open_socket(server: ServerProcess, connection_id: str) -> str:
    """Has a page open a bare socket with this id, an expression, in its own room, and send a frame that is not the page's."""
    return (
        f"new WebSocket('ws://127.0.0.1:{server.port}/ws?'"
        f" + new URLSearchParams({{room: document.querySelector('#title').textContent, id: {connection_id}}})).onopen"
        " = e => e.target.send(JSON.stringify({event: 'hi', payload: '<b>there</b>'})), 0"
    )


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

            await ada.click("#cut")  # "Reconnect"
            await until_note(bob, "Ada is back")
            await until_said(bob, "said into the void")
            await until_said(ada, "said into the void")
            await until_note(ada, "Reconnected to the same session: 1 message from the meantime is above.")
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
            await until_note(
                ada, "Reconnected in a new session. What others wrote in the meantime is missing here. Your own"
            )
            await until_said(bob, "said in between")
            await until_said(ada, "said in between")
            assert await ada.evaluate("document.querySelectorAll('#pending .said').length") == 0

            # Who speaks without this page is shown as they speak, and whose id is taken away takes another one.
            bob_id = await bob.evaluate("JSON.parse(sessionStorage.wspulse).id")
            await bob.evaluate(LATER)
            await bob.evaluate(open_socket(server, json.dumps(bob_id)))
            await ada.until("document.querySelector('#log .raw .what')?.textContent.includes('<b>there</b>')")
            await until_note(bob, "Another window took over the id of this one, so it has a new id.")
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


async def test_who_is_kicked_cannot_write_and_joins_again_with_the_draft() -> None:
    assert CHROMIUM is not None
    with serve_process(workers=2) as server, Control(server.control) as control:
        async with Browser.start(CHROMIUM) as browser:
            page = await browser.open(f"http://127.0.0.1:{server.port}/")
            await join(page, "Ada")
            await say(page, "before")
            await until_said(page, "before")
            await page.type_into("#text", "a draft")
            first = await page.evaluate("JSON.parse(sessionStorage.wspulse).id")
            control.kick(first)
            await page.until("document.body.dataset.state === 'ended'")
            await until_note(page, "You were removed from the room.")
            assert await page.evaluate("document.querySelector('#status').textContent") == "removed"
            assert await page.evaluate("['text', 'send'].every(id => document.getElementById(id).disabled)")
            assert (
                await page.evaluate("document.activeElement.id + document.activeElement.textContent") == "cutJoin again"
            )
            assert await page.evaluate("document.querySelectorAll('#people li').length") == 0

            await page.evaluate("still = Date.now(), Date.now = () => still, 0")  # it is not connected for long
            await page.click("#cut")
            await page.until("document.body.dataset.state === 'connected'")
            await until_note(page, "You are in the room again.")
            assert await page.evaluate("JSON.parse(sessionStorage.wspulse).id") != first
            assert await said(page) == ["before"], "what was read stays"
            await page.click("#send")
            await until_said(page, "a draft")

            # An id that is taken away at once is not replaced: two pages that do so would go on for ever.
            await page.evaluate("WebSocket.prototype.send = () => {}, 0")
            await say(page, "into the void")
            await page.until("document.querySelector('#pending .who')?.textContent.startsWith('on its way')")
            other = await browser.open(f"http://127.0.0.1:{server.port}/?room=lobby")
            await other.evaluate("document.querySelector('#title').textContent = 'lobby'")
            await other.evaluate(
                open_socket(server, json.dumps(await page.evaluate("JSON.parse(sessionStorage.wspulse).id")))
            )
            await page.until("document.body.dataset.state === 'ended'")
            await until_note(page, "Another window took over the id of this one.")
            unsure = "document.querySelector('#log .unsure')"
            assert (await page.evaluate(f"{unsure}.textContent")).startswith("may not have arrived")
            assert await page.evaluate(f"{unsure}.querySelector('.what').textContent") == "into the void"
            assert await page.evaluate("document.querySelectorAll('#pending li').length") == 0
            assert page.complaints == []


async def test_status_is_not_green_while_the_browser_is_offline() -> None:
    assert CHROMIUM is not None
    speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    with serve_process(workers=2) as server:
        async with Browser.start(CHROMIUM) as browser:
            page = await browser.open(f"http://127.0.0.1:{server.port}/")
            await join(page, "Ada")
            green = await page.evaluate("getComputedStyle(document.querySelector('#status')).color")
            await page.call("Network.enable")
            await page.call("Network.emulateNetworkConditions", offline=True, **speed)
            await page.until("document.querySelector('#status').textContent === 'offline'")
            assert await page.evaluate("getComputedStyle(document.querySelector('#status')).color") != green

            # A server on the same machine answers all the same; that is what is shown then.
            await say(page, "is anybody there?")
            await page.until(
                "/^worker . offline$/.test(document.querySelector('#status').textContent.replace(',', ''))"
            )
            assert await page.evaluate("getComputedStyle(document.querySelector('#status')).color") != green
            await page.call("Network.emulateNetworkConditions", offline=False, **speed)
            await page.until("document.body.dataset.state === 'connected'")
            assert await page.evaluate("getComputedStyle(document.querySelector('#status')).color") == green

            # Without an answer it is in doubt until one comes, for which the line asks.
            await page.call("Network.emulateNetworkConditions", offline=True, **speed)
            await page.until("document.querySelector('#status').textContent === 'offline'")
            await page.call("Network.emulateNetworkConditions", offline=False, **speed)
            await page.until("document.body.dataset.state === 'connected'")
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
                assert page.complaints == []


async def test_phone_shows_names_and_texts_in_their_own_direction_and_nothing_covers_anything() -> None:
    assert CHROMIUM is not None
    room = "a room with quite a long name for a phone"
    boxes = (
        "['#title', '#status', '#cut', '#leave', '#log', '#say'].map(each => {"
        " const box = document.querySelector(each).getBoundingClientRect();"
        " return [each, box.left, box.top, box.right, box.bottom]; })"
    )
    arabic = "مرحبا"
    with serve_process(workers=2) as server:
        async with Browser.start(CHROMIUM) as browser:
            page = await browser.open(f"http://127.0.0.1:{server.port}/")
            await page.call(
                "Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=1, mobile=True
            )
            await page.type_into("#room", room)
            await join(page, arabic)

            heights = set()
            for state in ("connected", "waiting"):
                await page.until(f"document.body.dataset.state === '{state}'")
                assert await page.evaluate("document.documentElement.scrollWidth") == 320
                found = await page.evaluate(boxes)
                for place, (name, left, top, right, bottom) in enumerate(found):
                    for other, *box in found[place + 1 :]:
                        is_apart = right <= box[0] or left >= box[2] or bottom <= box[1] or top >= box[3]
                        assert is_apart, f"{name} and {other} overlap while {state}"
                heights.add(await page.evaluate("document.querySelector('header').offsetHeight"))
                status = "(each => each.scrollWidth - each.clientWidth)(document.querySelector('#status'))"
                assert await page.evaluate(status) <= 0, "it fits"
                if state == "connected":
                    await page.click("#cut")
            assert len(heights) == 1, "the header does not jump"
            title = "document.querySelector('#title').getBoundingClientRect().width"
            assert await page.evaluate(title) > 160

            await page.click("#cut")
            await page.until("document.body.dataset.state === 'connected'")
            await say(page, f"{arabic}, hello!")
            await until_said(page, f"{arabic}, hello!")
            for selector in ("#log .what", "#people bdi", "#log .own .what"):
                direction = f"getComputedStyle(document.querySelector('{selector}')).direction"
                assert await page.evaluate(direction) == "rtl", selector
            assert await page.evaluate("getComputedStyle(document.querySelector('#title')).direction") == "ltr"
            fields = (
                "[...document.querySelectorAll('input')].every(each => each.dir === 'auto' && each.labels.length === 1)"
            )
            assert await page.evaluate(fields)
            time = "Math.abs(Date.parse(document.querySelector('#log .said time').dateTime) - Date.now())"
            assert await page.evaluate(time) < 60_000

            # What another client or an operator sends does not say whose it is.
            with Control(server.control) as control:
                control.broadcast(room, Frame("tick", {"n": 1}))
            raw = "document.querySelector('#log .raw')"
            await page.until(f"{raw} !== null")
            assert (await page.evaluate(f"{raw}.textContent")).startswith("raw frame, unknown sender")
            assert (
                await page.evaluate(f"{raw}.querySelector('.what').textContent") == '{"event":"tick","payload":{"n":1}}'
            )

            # Who reads at the end stays there when the phone is turned, and when a keyboard takes half of it.
            for number in range(15):
                await say(page, f"{number} is a longer text that takes more than one line where a window is narrow")
            await until_said(page, "14 is a longer text that takes more than one line where a window is narrow")
            log = "document.querySelector('#log')"
            for width, height in ((480, 740), (320, 640), (320, 400)):
                await page.call(
                    "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True
                )
                await page.until(f"innerWidth === {width} && innerHeight === {height}")
                await page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                assert await page.evaluate(f"{log}.scrollHeight - {log}.clientHeight") > 0
                await page.until(f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 2")
            assert page.complaints == []
