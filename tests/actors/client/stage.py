"""For tests of lines: a server that plays a few steps, a clock that passes as the test wants, and what a line has told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.clients.scripted_server import ScriptedServer
from wspulse.actors.client.clock import Clock
from wspulse.client import Line, Retry, connect

__all__ = ["HastyClock", "Told", "line_to", "scripted"]


def scripted(*connections: list[Any]) -> ScriptedServer:
    """The steps are those of tests/clients/README.md."""
    return ScriptedServer({"name": "", "server": list(connections)})


class HastyClock(Clock):
    """Delays before a dial take no time, and are written down."""

    def __init__(self, speed: float = 1.0, draw: float = 1.0) -> None:
        super().__init__(speed, lambda: draw)
        self.paused_s: list[float] = []

    async def pause(self, delay_s: float) -> None:
        self.paused_s.append(delay_s)
        await asyncio.sleep(0)


def line_to(server: ScriptedServer, **options: Any) -> Line:
    """Tries again at once."""
    options = {"retry": Retry(0.001, 0.002), "clock": Clock(draw=lambda: 0.0), **options}
    return connect(f"ws://127.0.0.1:{server.port}/ws", **options)


class Told:
    """What a line has told its handlers of itself, and frames of `events`."""

    def __init__(self, line: Line, *events: str) -> None:
        self.items: list[tuple[str, Any]] = []
        self._news = asyncio.Event()
        for event in ("wspulse.state", "wspulse.lost", "wspulse.refused", "wspulse.error", *events):
            line.on(event)(self._handler(event))

    def _handler(self, event: str) -> Callable[[Any], None]:
        def handler(payload: Any) -> None:
            self.items.append((event, payload))
            self._news.set()

        return handler

    def of(self, event: str) -> list[Any]:
        return [payload for name, payload in self.items if name == event]

    @property
    def states(self) -> list[str]:
        return [payload["state"] for payload in self.of("wspulse.state")]

    async def until(self, condition: Callable[[Told], Any]) -> None:
        async with asyncio.timeout(5):
            while not condition(self):
                self._news.clear()
                await self._news.wait()
