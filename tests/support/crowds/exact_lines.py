"""The lines of `wspulse.client` of `scripts/exact-crowd`, in a process of their own; tests/clients/javascript/exact_lines.mjs has
those of `wspulse.js`, and does the same.

It is told on its input what each line does, then "finish" and "last", and says on its output when its lines are connected, when
they say nothing more and up to which frame the server takes what they have said, and in the end what each has said and heard: its
book.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from random import Random
from typing import Any

from wspulse.actors.values.frame import Frame
from wspulse.client import Line, LineClosedError, Retry, connect

LIMIT_S = 30.0


class Talker:
    """One line. `plan` says who it is, its address, its rooms, whom it whispers to, and how many frames that are marked as the
    last ones it must get."""

    def __init__(self, plan: dict[str, Any], settings: dict[str, Any]) -> None:
        self.plan = plan
        self.random = Random(f"{settings['seed']} {plan['id']}")
        self.settings = settings
        self.sent: list[list[Any]] = []
        self.places: dict[str, int] = {}
        self.faults: list[str] = []
        self.connected = 0
        self.waited = 0
        """For so many of the times at which all wait for each other."""
        self.is_over = False
        self.lasts = 0
        self.has_all = asyncio.Event()
        self.is_to_finish = asyncio.Event()
        self.sessions: list[dict[str, Any]] = []
        self._is_back = False
        self._begin_session()

    def _begin_session(self) -> None:
        self.sessions.append(
            {
                "opened": 0.0,
                "lost_living": 0,
                "lost_away": 0,
                "tellings": [],
                "count": 0,
                "heard": {},
                "unacknowledged": [],
            }
        )

    def _hear(self, stream: str, place: int, is_last: bool) -> None:
        session = self.sessions[-1]
        ranges, tellings = session["heard"].setdefault(stream, []), len(session["tellings"])
        session["count"] += 1
        if ranges and ranges[-1][1] + 1 == place and ranges[-1][2] == tellings:
            ranges[-1][1] = place
        else:
            ranges.append([place, place, tellings])
        if is_last:
            self.lasts += 1
            if self.lasts == self.plan["lasts"]:
                self.has_all.set()

    def _say(self, line: Line, event: str, to: Any, *, is_last: bool = False) -> None:
        stream = "flood" if event == "flood" else f"{event} {to}"
        place = self.places.get(stream, 0)
        self.places[stream] = place + (to if event == "flood" else 1)
        number = len(self.sent)
        self.sent.append([event, to, place])
        line.send(event, [number, to, place, is_last])

    def _listen(self, line: Line) -> None:
        me, random = self.plan["id"], self.random

        @line.on("said")
        async def said(payload: list[Any]) -> None:
            sender, room, place, is_last = payload
            self._hear(f"{room}<{sender}", place, is_last)
            if not self.is_to_finish.is_set() and random.random() < 0.002:
                await asyncio.sleep(random.uniform(0.5, 3))  # a reader that pauses

        @line.on("flooded")
        async def flooded(payload: list[Any]) -> None:
            place, _, is_last = payload
            self._hear(f"flood<{me}", place, is_last)
            if not self.is_to_finish.is_set() and random.random() < self.settings["stall"]:
                await asyncio.sleep(2)

        @line.on("whispered")
        def whispered(payload: list[Any]) -> None:
            sender, place, is_last = payload
            self._hear(f"@{me}<{sender}", place, is_last)

        @line.on("answered")
        def answered(payload: list[Any]) -> None:
            self._hear(f"answer<{me}", *payload)

        @line.on("wspulse.state")
        def state(news: dict[str, Any]) -> None:
            self._is_back = news["state"] == "connected"
            if self._is_back:
                self.connected += 1
                if not self.sessions[-1]["opened"]:
                    self.sessions[-1]["opened"] = time.monotonic()

        @line.on("wspulse.lost")
        def lost(news: dict[str, Any]) -> None:
            session = self.sessions[-1]
            if news["recovered"]:
                session["tellings"].append([session["count"], news["lost"]])
                session["lost_living" if self._is_back else "lost_away"] += news["lost"]
                return
            frames: list[Frame] = news["unacknowledged"]
            session["unacknowledged"] = [frame.decode()[0] for frame in frames]
            self._begin_session()
            self.sessions[-1]["opened"] = time.monotonic()
            if news["lost"]:
                self.faults.append(f"a session that begins has lost {news['lost']}")

        @line.on("wspulse.error")
        def error(news: dict[str, Any]) -> None:
            if news["kind"] != "opening":
                self.faults.append(f"{news['kind']}: {news['error']!r}")

    async def run(self, connected: asyncio.Barrier, quiet: asyncio.Barrier, last: asyncio.Event) -> None:
        plan, random, settings = self.plan, self.random, self.settings
        retry = Retry(base_s=settings["base_s"], max_s=settings["max_s"])
        async with connect(plan["url"], retry=retry, proxy=None) as line:
            self._listen(line)
            await line.ready
            await connected.wait()
            self.waited = 1
            while not self.is_to_finish.is_set():
                try:
                    async with asyncio.timeout(random.uniform(0, 2 * settings["period_s"])):
                        await self.is_to_finish.wait()
                except TimeoutError:
                    drawn = random.random()
                    if drawn < settings["floods"]:
                        self._say(line, "flood", random.choice((20, 100, 200, 400)))
                    elif drawn < 0.2:
                        self._say(line, "whisper", random.choice(plan["whispers_to"]))
                    else:
                        self._say(line, "say", random.choice(plan["rooms"]))
            await line.ready
            await line.flush()
            await quiet.wait()
            self.waited = 2
            await last.wait()
            for room in plan["rooms"]:
                self._say(line, "say", room, is_last=True)
            for other in plan["whispers_to"]:
                self._say(line, "whisper", other, is_last=True)
            self._say(line, "flood", 1, is_last=True)
            try:
                async with asyncio.timeout(LIMIT_S):
                    await line.flush()
                    await self.has_all.wait()
            except TimeoutError:
                self.faults.append(f"{self.lasts} of {plan['lasts']} last frames have come")

    def newest_kept(self) -> int:
        """The number of the newest frame that was not handed back, which the server takes with all before it; -1 where it takes
        nothing more."""
        handed_back = {number for session in self.sessions for number in session["unacknowledged"]}
        return max(
            (number for number in range(len(self.sent)) if number not in handed_back and not self.is_over), default=-1
        )

    def book(self) -> dict[str, Any]:
        return {
            "id": self.plan["id"],
            "rooms": self.plan["rooms"],
            "sent": self.sent,
            "sessions": self.sessions,
            "connected": self.connected,
            "faults": self.faults,
        }


async def main() -> None:
    settings = json.loads(await asyncio.to_thread(sys.stdin.readline))
    talkers = [Talker(plan, settings) for plan in settings["lines"]]
    connected, quiet = (asyncio.Barrier(len(talkers) + 1) for _ in range(2))
    last = asyncio.Event()
    tasks = [asyncio.create_task(_watched(talker, connected, quiet, last)) for talker in talkers]
    await _told(connected, tasks, "connected")
    assert await asyncio.to_thread(sys.stdin.readline) == "finish\n"
    for talker in talkers:
        talker.is_to_finish.set()
    await _told(quiet, tasks, "quiet")
    print(json.dumps({talker.plan["id"]: talker.newest_kept() for talker in talkers}), flush=True)
    assert await asyncio.to_thread(sys.stdin.readline) == "last\n"
    last.set()
    await asyncio.gather(*tasks)
    print(json.dumps([talker.book() for talker in talkers]), flush=True)


async def _watched(talker: Talker, connected: asyncio.Barrier, quiet: asyncio.Barrier, last: asyncio.Event) -> None:
    try:
        await talker.run(connected, quiet, last)
    except LineClosedError as error:
        talker.is_over = True
        talker.faults.append(f"it has ended: {error.close_code} {error.close_reason}")
        # The others need not wait for it.
        for barrier in (connected, quiet)[talker.waited :]:
            await barrier.wait()


async def _told(barrier: asyncio.Barrier, tasks: list[asyncio.Task[None]], word: str) -> None:
    try:
        async with asyncio.timeout(LIMIT_S * 2):
            await barrier.wait()
    except (TimeoutError, asyncio.BrokenBarrierError):
        word = f"not {word}"
    print(word, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
