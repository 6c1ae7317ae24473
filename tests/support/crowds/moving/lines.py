"""`LineOfCrowd`: an exact client of the moving crowd, by `wspulse.client`, which must not notice that its session moves."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from tests.support.crowds.moving.habits import Pause
from tests.support.crowds.moving.heard import Heard
from wspulse.client import Line, LineClosedError, connect

__all__ = ["LineOfCrowd"]

EVENTS = ("room", "pulse", "answer", "direct", "told", "visit")


class LineOfCrowd:
    """See the module. What it has, and what it does, is as with `Client`."""

    def __init__(self, plan: dict[str, Any], address: tuple[str, int, str]) -> None:
        self.plan = plan
        self.id: str = plan["id"]
        self.heard = Heard()
        self.sent = self.relayed = self.visits = self.flooded = self.cut_off = 0
        self.end: tuple[int, str] | None = None
        host, port, path = address
        self._url = f"ws://{host}:{port}{path}?id={self.id}&rooms={','.join(plan['rooms'])}"
        self._opened = asyncio.Event()
        self._may_go = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._line: Line | None = None

    async def open(self) -> None:
        self._running = asyncio.create_task(self._run())
        async with asyncio.timeout(60):
            await self._opened.wait()

    async def leave(self) -> tuple[int, str]:
        self._may_go.set()
        if self._running is not None:
            await self._running
        return (1000, "")

    async def talk(self, random: Random, pause: Pause, settings: dict[str, Any]) -> None:
        assert self._line is not None
        while await pause(settings["say_s"] * random.uniform(0.5, 1.5)) and self.end is None:
            what = "relay" if random.random() < 0.25 else "visit" if random.random() < 0.1 else "echo"
            self.relayed += what == "relay"
            self.visits += what == "visit"
            self._line.send("do", [self.sent, what])
            self.sent += 1

    async def _run(self) -> None:
        try:
            async with connect(self._url, proxy=None) as line:
                self._line = line
                self._listen(line)
                await line.ready
                self._opened.set()
                await self._may_go.wait()
        except LineClosedError as error:
            if not self._may_go.is_set():
                self.end = (error.close_code or 1006, error.close_reason)
        finally:
            self._opened.set()

    def _listen(self, line: Line) -> None:
        for event in EVENTS:
            line.on(event)(self._taker(event))

        @line.on("question")
        def question(payload: Any) -> Any:
            return payload

        @line.on("wspulse.state")
        def state(news: dict[str, Any]) -> None:
            if news["state"] != "connected" and self._opened.is_set() and not self._may_go.is_set():
                self.end = self.end or (1006, f"its line is {news['state']}")

        @line.on("wspulse.lost")
        def lost(news: dict[str, Any]) -> None:
            self.heard.lost += news["lost"]
            self.heard.tell(f"told that {news['lost']} are lost")

    def _taker(self, event: str) -> Any:
        def take(payload: list[Any]) -> None:
            self.heard.take(event, payload[0], payload[1])

        return take
