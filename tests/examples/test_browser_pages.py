"""examples/browser: the pages in Chromium, each with its server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.support import EXAMPLES
from tests.support.processes.browser import Browser, Page, find_chromium
from tests.support.processes.server_process import serve_process, serve_uvicorn

CHROMIUM = find_chromium()
FOLDER = EXAMPLES / "browser"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no Chromium here (Debian: apt-get install chromium); scripts/test installs it where it may",
)


async def submit(page: Page, text: str) -> None:
    await page.type_into("input", text)
    await page.evaluate("document.forms[0].requestSubmit()")


async def until_listed(page: Page, *texts: str) -> None:
    listed = "JSON.stringify([...document.querySelectorAll('li')].map(e => e.textContent))"
    await page.until(f"{listed} === {json.dumps(json.dumps(texts, separators=(',', ':')))}")


async def test_page_of_twenty_lines_talks_from_a_file(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    text = (FOLDER / "twenty_lines.html").read_text("utf-8")
    script = text.partition("<script")[2].splitlines()[1:]
    assert len(script) - 1 <= 20
    with serve_process("--resume-window", "30", workers=2) as server:
        page = tmp_path / "page.html"
        page.write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"))
        async with Browser.start(CHROMIUM) as browser:
            ann, bob = await browser.open(page.as_uri()), await browser.open(page.as_uri())
            for window in (ann, bob):
                await window.until("document.querySelector('#state').textContent === 'connected'")
            await submit(ann, "hello")
            await until_listed(bob, "hello")
            await submit(bob, "<b>you</b>")
            for window in (ann, bob):
                await until_listed(window, "hello", "<b>you</b>")
                assert window.complaints == []


async def test_page_beside_fastapi_loads_what_is_there_and_hears_what_comes() -> None:
    assert CHROMIUM is not None
    with serve_uvicorn("fastapi_page:app", cwd=FOLDER) as server:
        async with Browser.start(CHROMIUM) as browser:
            ann = await browser.open(f"http://127.0.0.1:{server.port}/")
            await ann.until("document.querySelector('#state').textContent === 'connected'")
            await submit(ann, "milk")
            await until_listed(ann, "milk")
            bob = await browser.open(f"http://127.0.0.1:{server.port}/")
            await until_listed(bob, "milk")
            await submit(bob, "eggs")
            for window in (ann, bob):
                await until_listed(window, "milk", "eggs")
                assert [text for text in window.complaints if "404" not in text] == []
