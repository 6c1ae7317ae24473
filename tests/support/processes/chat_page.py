"""What a test does on the chat page of `relay`, in a browser, and what it waits for there."""

from __future__ import annotations

import json

from tests.support.processes.browser import Page
from tests.support.processes.server_process import ServerProcess

__all__ = ["LATER", "join", "open_socket", "said", "say", "until_note", "until_said"]

LATER = "real = Date.now.bind(Date), Date.now = () => real() + 6000, 0"
"""Has the page believe that it has been connected for a while."""


async def join(page: Page, name: str) -> None:
    await page.type_into("#name", name)
    await page.click("#join button")
    await page.until("document.body.dataset.state === 'connected'")


async def say(page: Page, text: str) -> None:
    await page.type_into("#text", text)
    await page.click("#say button")


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
