"""examples/django_app: carried by two workers, and mounted under uvicorn, with real sessions and cookies."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.examples.support import EXAMPLES
from tests.support.processes.browser import Browser, find_chromium
from tests.support.processes.server_process import ServerProcess, serve_process, serve_uvicorn

SITE = EXAMPLES / "django_app"
ORIGIN = "https://notes.example.com"
PAGE = "http://localhost"
CHROMIUM = find_chromium()

CUTTABLE = """
window.cut = false;
window.WebSocket = class extends WebSocket {
    constructor(url, protocols) {
        super(window.cut ? "ws://127.0.0.1:1/" : url, protocols);
        window.socket = this;
    }
};
"""
"""Whether the page's WebSockets reach the server is up to the test."""


@pytest.fixture(scope="module", params=["carried", "mounted"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    database: Path = tmp_path_factory.mktemp("django") / "db.sqlite3"
    env = {"DJANGO_DATABASE": str(database), "ORIGINS": f"{ORIGIN} {PAGE}"}
    migrate = [sys.executable, "manage.py", "migrate", "-v", "0"]
    subprocess.run(migrate, cwd=SITE, env={"PATH": "", **env}, check=True, timeout=60)
    if request.param == "mounted":
        with serve_uvicorn("asgi:application", cwd=SITE, env=env) as process:
            yield process
    else:
        arguments = ("--app", "asgi:server", "--http-app", "asgi:application")
        with serve_process(*arguments, workers=2, cwd=SITE, env=env) as process:
            yield process


async def post(http: httpx2.AsyncClient, target: str, **fields: str) -> httpx2.Response:
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', (await http.get("/")).text)
    assert token is not None
    return await http.post(target, data={"csrfmiddlewaretoken": token[1], **fields})


async def test_note_reaches_every_window_of_its_user_and_no_other(server: ServerProcess) -> None:
    cookies = {}
    base = f"http://127.0.0.1:{server.port}"
    async with httpx2.AsyncClient(base_url=base) as ann, httpx2.AsyncClient(base_url=base) as bob:
        for name, http in (("ann", ann), ("bob", bob)):
            assert (await post(http, "/signup", name=name, password="rabbit")).status_code == 302
            assert f"Notes of {name}" in (await http.get("/")).text
            cookies[name] = {"Cookie": f"sessionid={http.cookies['sessionid']}", "Origin": ORIGIN}
        async with (
            connect(server.url, additional_headers=cookies["ann"]) as one,
            connect(server.url, additional_headers=cookies["ann"]) as two,
            connect(server.url, additional_headers=cookies["bob"]) as other,
        ):
            assert (await post(ann, "/note", text="milk")).status_code == 204
            assert (await post(bob, "/note", text="cheese")).status_code == 204
            for socket, text in ((one, "milk"), (two, "milk"), (other, "cheese")):
                async with asyncio.timeout(10):
                    assert json.loads(await socket.recv())["payload"] == {"text": text}


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"Origin": "https://evil.example"}, 403)])
async def test_strangers_and_foreign_pages_are_refused(
    server: ServerProcess, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.url, additional_headers={"Cookie": "sessionid=forged", **headers})
    assert refused.value.response.status_code == status


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")
async def test_page_that_was_cut_off_comes_back_to_its_session_and_shows_what_was_sent_meanwhile(
    server: ServerProcess,
) -> None:
    assert CHROMIUM is not None
    listed = "[...document.querySelectorAll('li')].map(e => e.textContent).join()"
    state = "document.querySelector('#state')?.textContent"
    async with Browser.start(CHROMIUM, f"--host-resolver-rules=MAP localhost:80 127.0.0.1:{server.port}") as browser:
        page = await browser.open(PAGE)
        await page.until("document.querySelector('[name=name]') !== null")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=CUTTABLE)
        await page.type_into("[name=name]", "eve")
        await page.type_into("[name=password]", "rabbit")
        await page.click("[formaction='/signup']")
        await page.until(f"{state} === 'connected'")
        for number, (note, is_cut) in enumerate([("milk", False), ("eggs", True), ("tea", False)]):
            if is_cut:
                await page.evaluate("window.cut = true, window.socket.close(3000)")
                await page.until(f"{state} === 'reconnecting'")
            await page.type_into("[name=text]", note)
            posted = "performance.getEntriesByName(`${location.origin}/note`).length"
            await page.evaluate("document.forms[0].requestSubmit()")
            await page.until(f"{posted} === {number + 1}")
            if is_cut:
                assert await page.evaluate(listed) == "milk"
                await page.evaluate("window.cut = false")
                await page.until(f"{state} === 'connected'")
        await page.until(f"{listed} === 'tea,eggs,milk'")
