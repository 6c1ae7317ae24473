"""Clients of the moving crowd in a process of their own, told on its input what to do, a word a line; each is answered.

First come the plans; then "open", "talk", "phase" (how long nothing was heard, and how late), "quiet" (nobody says anything more,
and all is answered), "still" (nothing came for a second), "books" and "leave". See `crowd`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from random import Random
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import uvloop

from tests.support.crowds.moving.client import Client
from tests.support.crowds.moving.habits import HABITS, Halver
from tests.support.crowds.moving.lines import LineOfCrowd
from tests.support.crowds.moving.silence import Silence

AT_A_TIME = 64
ANSWERED_WITHIN_S = 30.0
STILL_S = 1.0
STILL_WITHIN_S = 30.0


class Program:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        url = urlsplit(settings["url"])
        address = (url.hostname or "", url.port or 0, url.path)
        self._silence = Silence()
        self._clients: list[Client | LineOfCrowd] = []
        for plan in settings["plans"]:
            if plan["kind"] == "exact":
                self._clients.append(LineOfCrowd(plan, address))
            else:
                kind = Halver if plan["kind"] == "half" else Client
                self._clients.append(kind(plan, address, self._silence))
        self._is_over = asyncio.Event()
        self._habits: list[asyncio.Task[None]] = []

    async def open(self) -> str:
        gate = asyncio.Semaphore(AT_A_TIME)

        async def one(client: Client | LineOfCrowd) -> None:
            async with gate:
                await client.open()

        await asyncio.gather(*map(one, self._clients))
        return "open"

    async def talk(self) -> str:
        for client in self._clients:
            random = Random(f"{self._settings['seed']} {client.id}")
            if isinstance(client, LineOfCrowd):
                habit: Any = client.talk(random, self._pause, self._settings)
            else:
                habit = HABITS[client.plan["kind"]](client, random, self._pause, self._settings)
            self._habits.append(asyncio.create_task(habit))
        return "talk"

    async def phase(self) -> str:
        book = json.dumps(self._silence.book())
        self._silence.gaps_ms.clear()
        self._silence.lateness_ms.clear()
        return book

    async def quiet(self) -> str:
        """Where a client has raised, or is not answered, its book tells."""
        self._is_over.set()
        ends = await asyncio.gather(*self._habits, return_exceptions=True)
        for client, end in zip(self._clients, ends, strict=True):
            if isinstance(end, BaseException):
                client.end = client.end or (1006, repr(end))
        until = monotonic() + ANSWERED_WITHIN_S
        while monotonic() < until and not all(map(_is_answered, self._clients)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return "quiet"

    async def still(self) -> str:
        until = monotonic() + STILL_WITHIN_S
        counts, since = self._counts(), monotonic()
        while monotonic() < min(until, since + STILL_S):
            await asyncio.sleep(0.1)
            if (now := self._counts()) != counts:
                counts, since = now, monotonic()
        return "still"

    async def books(self) -> str:
        return json.dumps([_book(client) for client in self._clients])

    async def leave(self) -> str:
        ends = [client.leave() for client in self._clients if client.end is None]
        return json.dumps(await asyncio.gather(*ends))

    def _counts(self) -> int:
        return sum(sum(streams.values()) for each in self._clients for streams in each.heard.newest.values())

    async def _pause(self, time_s: float) -> bool:
        try:
            async with asyncio.timeout(time_s):
                await self._is_over.wait()
        except TimeoutError:
            return True
        return False


def _is_answered(client: Client | LineOfCrowd) -> bool:
    return client.end is not None or client.heard.newest.get("answer", {}).get("", -1) == client.sent - 1


def _book(client: Client | LineOfCrowd) -> dict[str, Any]:
    names = ("sent", "relayed", "visits", "flooded", "cut_off", "end")
    return {**client.plan, **{name: getattr(client, name) for name in names}, **client.heard.book()}


async def main() -> None:
    loop = asyncio.get_running_loop()
    program = Program(json.loads(await asyncio.to_thread(sys.stdin.readline)))
    loop.set_exception_handler(lambda _, context: print(context, file=sys.stderr))
    while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
        print(await getattr(program, word)(), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
