"""A real browser for tests: Debian's Chromium, headless, driven over its DevTools protocol.

    async with Browser.start(executable) as browser:
        page = await browser.open("http://127.0.0.1:8000/")
        await page.until("document.body.dataset.state === 'connected'")

Each page lives in a browser context of its own, as the windows of two people do. What a page logs as an error, or throws,
is kept in `page.complaints`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

__all__ = ["Browser", "Page", "find_chromium"]

DEADLINE_S = 20.0
"""For a browser on a machine of two cores that run the other tests too."""


def find_chromium() -> str | None:
    """Where a Chromium is installed; None where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    return None


class Page:
    """One page in a context of its own."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **parameters)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited. AssertionError for what it throws."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        while not (value := await self.evaluate(expression)):
            if asyncio.get_running_loop().time() > deadline:
                text = await self.evaluate("document.body.innerText")
                raise AssertionError(f"still not true: {expression}\nThe page shows:\n{text}\n{self.complaints}")
            await asyncio.sleep(0.02)
        return value

    async def type_into(self, selector: str, text: str) -> None:
        """Focus a field, empty it, and type."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        await self.call("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """Click with the mouse, in the middle of the element: what covers it would be hit instead."""
        middle = await self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=middle[0], y=middle[1], button="left", clickCount=1
            )

    async def screenshot(self, path: Path, width: int, height: int, scheme: str = "light") -> None:
        """Show the page at this size and colour scheme, and write it as PNG."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await asyncio.sleep(0.3)  # the animations of new lines
        answer = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, b64decode(answer["data"]))


class Browser:
    """Made by `start`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    @classmethod
    @asynccontextmanager
    async def start(cls, executable: str, *flags: str) -> AsyncIterator[Browser]:
        """Run the browser with an empty profile; it is gone when the block is left."""
        profile = Path(tempfile.mkdtemp(prefix="wspulse-browser-"))
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
            [
                executable,
                "--headless=new",
                *flags,
                "--no-sandbox",  # refused to root without it; the pages are our own
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(profile), "XDG_RUNTIME_DIR": str(profile)},  # it leaves things there
            start_new_session=True,
        )
        try:
            port, path = await _debugging_address(profile, process)
            async with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None) as socket:
                browser = cls(socket)
                listening = asyncio.create_task(browser._listen())
                try:
                    yield browser
                    await browser.call("Browser.close")
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        finally:
            await asyncio.to_thread(_end, process, profile)

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol. AssertionError for a refusal."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        request: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        await self._socket.send(json.dumps(request))
        async with asyncio.timeout(DEADLINE_S):
            result: dict[str, Any] = await answer
        return result

    async def open(self, url: str) -> Page:
        """A new page, loaded, in a new context."""
        context = await self.call("Target.createBrowserContext")
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context["browserContextId"])
        page = await self._attach(target["targetId"])
        await page.call("Page.navigate", url=url)
        await page.until(f"location.href !== 'about:blank' && document.readyState === 'complete' && {json.dumps(url)}")
        return page

    async def opened_by(self, page: Page, expression: str) -> Page:
        """The window that an expression of a page opens, as a click would, loaded, in the context of that page."""
        before = await self._targets()
        await page.call("Runtime.evaluate", expression=expression, userGesture=True)
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        while not (opened := await self._targets() - before):
            assert asyncio.get_running_loop().time() < deadline, f"no window opened: {expression}"
            await asyncio.sleep(0.02)
        window = await self._attach(opened.pop())
        await window.until("location.href !== 'about:blank' && document.readyState === 'complete'")
        return window

    async def _targets(self) -> set[str]:
        answer = await self.call("Target.getTargets")
        return {target["targetId"] for target in answer["targetInfos"] if target["type"] == "page"}

    async def _attach(self, target: str) -> Page:
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        # Timers of a page that is not in front would run late.
        await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        return page

    async def _listen(self) -> None:
        async for data in self._socket:
            message = json.loads(data)
            answer = self._answers.pop(message.get("id", 0), None)
            if answer is not None:
                if "error" in message:
                    answer.set_exception(AssertionError(message["error"]))
                else:
                    answer.set_result(message["result"])
                continue
            page = self._pages.get(message.get("sessionId", ""))
            if page is None:
                continue
            parameters = message.get("params", {})
            if message["method"] == "Runtime.exceptionThrown":
                page.complaints.append(json.dumps(parameters["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
                page.complaints.append(parameters["entry"]["text"])


async def _debugging_address(profile: Path, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """The port that the browser chose, and the path of its own target: it writes them into its profile."""
    file = profile / "DevToolsActivePort"
    async with asyncio.timeout(DEADLINE_S):
        while True:
            lines = file.read_text().split() if file.exists() else []
            if len(lines) == 2:
                return lines[0], lines[1]
            assert process.poll() is None, f"the browser ended with code {process.returncode}"
            await asyncio.sleep(0.02)


def _end(process: subprocess.Popen[bytes], profile: Path) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its children write into the profile a moment longer
    shutil.rmtree(profile, ignore_errors=True)
