"""The chat page where not all is well: after a kick, offline, and on a narrow phone with names that run from right to left."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.support.processes.browser import Browser, find_chromium
from tests.support.processes.chat_page import join, open_socket, said, say, until_note, until_said
from tests.support.processes.server_process import serve_process
from wspulse import Control, Frame

CHROMIUM = find_chromium()

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not hasattr(os, "getsid"),
    reason="no Chromium here (Debian: apt-get install chromium); scripts/test installs it where it may",
)


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
            assert await page.evaluate("document.querySelector('#count').textContent") == "", (
                "it does not say that nobody is there"
            )

            await page.evaluate("still = Date.now(), Date.now = () => still, 0")  # it is not connected for long
            await page.click("#cut")
            await page.until("document.body.dataset.state === 'connected'")
            await until_note(page, "You are back in the room.")
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

            server.signal(signal.SIGTERM)
            await until_note(page, "The server is shutting down.")
            await say(page, "unsent")
            await page.until(
                "document.querySelector('#pending .who')?.textContent.startsWith('waiting for the connection')"
            )


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

            # Of a text that the page itself does not let anybody write, it shows the beginning.
            with Control(server.control) as control:
                control.broadcast(room, Frame("chat.said", {"from": "robot", "text": "much " * 20_000}))
            await until_said(page, "much " * 400 + "…")

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
