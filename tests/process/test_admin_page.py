"""The operator's page in a real browser: what it shows, what it may change, and that clients' names stay text."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.processes.browser import Browser, Page, find_chromium
from tests.support.processes.server_process import ServerProcess, serve_process
from tests.support.wire.raw_peer import RawPeer, masked

TOKEN = "token-of-the-page-test"
HOSTILE = '<img src="x" onerror="alert(1)">'
TEXT = 1

chromium = find_chromium()
needs_chromium = pytest.mark.skipif(
    chromium is None,
    reason="no Chromium here (Debian: apt-get install chromium); scripts/test installs it where it may",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with serve_process(
        "--app", "relay", "--admin", "127.0.0.1:0", "--admin-token-file", str(tmp_path / "token")
    ) as server:
        yield server


def page_url(server: ServerProcess) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/", server.stderr())
    assert found is not None
    return found[0]


@asynccontextmanager
async def client(server: ServerProcess, name: str, room: str) -> AsyncIterator[RawPeer]:
    async with await RawPeer.upgraded(server.port, f"/ws?id={quote(name)}&room={quote(room)}") as peer:
        yield peer


async def texts(page: Page, selector: str) -> list[str]:
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.textContent)"
    found: list[str] = await page.evaluate(script)
    return found


async def until_texts(page: Page, selector: str, wanted: list[str]) -> None:
    found = f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.textContent)"
    await page.until(f"JSON.stringify({found}) === JSON.stringify({json.dumps(wanted)})")


async def until_noted(page: Page, text: str) -> None:
    await page.until(
        f"[...document.querySelectorAll('.note')].some(each => each.textContent.includes({json.dumps(text)}))"
    )


async def press(page: Page, selector: str) -> None:
    """Click, also what has to be scrolled to."""
    await page.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
    await page.click(selector)


async def enter(page: Page, token: str) -> None:
    await page.type_into("#token-input", token)
    await page.click("#token-form .primary")


@needs_chromium
@pytest.mark.timeout(60)
async def test_operator_looks_and_steers_and_names_stay_text(server: ServerProcess) -> None:
    assert chromium is not None
    async with (
        Browser.start(chromium) as browser,
        client(server, HOSTILE, HOSTILE) as hostile,
        client(server, "ada", "lobby") as ada,
        client(server, "bob", "lobby"),
    ):
        page = await browser.open(page_url(server))
        await page.until("document.body.dataset.state === 'live'")

        # It shows, and offers nothing else.
        await until_texts(page, "#rooms bdi", ["lobby", HOSTILE])
        await page.until("document.querySelectorAll('#connections tbody tr').length === 3")
        assert sorted(await texts(page, "#connections th bdi")) == sorted([HOSTILE, "ada", "bob"])
        await until_texts(page, "#workers tbody .badge", ["ready", "ready"])
        seen = "[...document.querySelectorAll('[data-order]')].some(each => each.offsetParent !== null)"
        assert not await page.evaluate(seen)
        assert await texts(page, "#rights") == ["Read-only until you enter the token"]

        # Rates go up as frames come.
        for _ in range(200):
            ada.writer.write(masked(TEXT, b'{"event":"hi"}'))
        path = "document.querySelector('#charts path.line0').getAttribute('d')"
        await page.until(f"new Set([...{path}.matchAll(/ ([0-9.]+)/g)].map(each => each[1])).size > 1")

        # What happens is told, and held back while the list is paused.
        async with client(server, "eve", "den"):
            await page.until("document.querySelector('#events').textContent.includes('eve connected, room den')")
            await press(page, "#pause")
        await page.until("/1 new/.test(document.querySelector('#pause').textContent)")
        assert "eve left" not in str(await texts(page, "#events"))
        await press(page, "#pause")
        await page.until("document.querySelector('#events').textContent.includes('eve left, room den')")

        # Connections are found by text and by room.
        await page.type_into("#search-text", "BOB")
        await until_texts(page, "#connections th bdi", ["bob"])
        await page.type_into("#search-text", "")
        await page.evaluate("document.querySelector('#search').requestSubmit()")
        await page.until("document.querySelectorAll('#connections tbody tr').length === 3")
        await until_texts(
            page, "#rooms bdi", ["lobby", HOSTILE]
        )  # the room of the one who has left goes with the next look
        await press(page, "#rooms li:nth-child(2) button")
        await until_texts(page, "#connections th bdi", [HOSTILE])

        # A wrong token changes nothing, the right one lets the operator steer.
        await press(page, "#token-open")
        await enter(page, "not-the-token-of-it")
        await until_texts(page, "#token-problem", ["Wrong token."])
        await enter(page, TOKEN)
        await page.until("document.body.dataset.changes === 'true'")
        assert await page.evaluate("sessionStorage.length") == 1
        assert await page.evaluate("document.cookie + localStorage.length") == "0"

        await page.until("!document.querySelector('#connections .danger').disabled")
        await press(page, "#connections .danger")
        assert await texts(page, "#sure-text") == [HOSTILE]
        await page.click("#sure-yes")
        assert await hostile.close_code() == (1000, "kicked")
        await until_noted(page, f"{HOSTILE} was kicked.")
        assert await texts(page, "#notes bdi") == [HOSTILE], "it keeps its direction of writing to itself"

        await page.type_into("#broadcast-room", "lobby")
        await page.type_into("#broadcast-event", "news")
        await page.type_into("#broadcast-payload", '{"n": 9007199254740993')
        await press(page, "#broadcast .primary")
        await page.until("document.querySelector('#broadcast-problem').textContent.includes('is not JSON')")
        await page.type_into("#broadcast-payload", '{"n": 9007199254740993}')
        await press(page, "#broadcast .primary")
        while (frame := await ada.frame())[0] != TEXT or (said := json.loads(frame[1]))["event"] != "news":
            pass
        assert said["payload"] == {"n": 9007199254740993}
        await until_noted(page, "Frame sent to the room lobby.")

        before = server.worker_pids()
        await press(page, "#workers tbody tr:nth-child(2) button")
        await page.click("#sure-yes")
        await until_noted(page, "Worker 1 was replaced")
        assert server.worker_pids()[0] == before[0]
        assert server.worker_pids()[1] != before[1]
        await page.evaluate("document.querySelector('#scale-to').value = 1")
        await press(page, "#scale button")
        await page.click("#sure-yes")
        await until_noted(page, "There is 1 worker:")
        await until_texts(page, "#workers tbody th", ["Worker 0"])

        await press(page, "#token-forget")
        await page.until("document.body.dataset.changes === 'false'")
        assert not await page.evaluate(seen)
        assert await page.evaluate("sessionStorage.length") == 0

        # Whatever clients are called, and on a phone.
        assert await page.evaluate("document.querySelectorAll('img').length") == 1, "only the page's own"
        await page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert all("401" in complaint for complaint in page.complaints), page.complaints
        unnamed = (
            "[...document.querySelectorAll('input, textarea, button')].filter(each => "
            "!each.labels?.length && !each.textContent.trim() && !each.getAttribute('aria-label')).length"
        )
        assert await page.evaluate(unnamed) == 0

        # A server that ends is said to be away.
        server.terminate()
        await page.until("document.body.dataset.state === 'away'")
