"""`Member`: one client of the cluster's crowd. It talks, and comes back, on another host where its own does not let it in."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from random import Random

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tests.support.crowds.cluster.books import Stay

__all__ = ["Member"]

DIAL_S = 12.0
"""Longer than a server takes to refuse."""

AGAIN_S = 0.2
SILENCE_S = 6.0
"""A host that answers no ping for so long is left; one client in two has more patience."""

WALK_S = (0.5, 2.5)


class Member:
    """See the module. `urls` are those of the hosts by their names; `home` is where it dials first. One that walks goes from host
    to host all the time, and dials the next one before or after it has left the last."""

    def __init__(
        self, name: str, room: str, urls: dict[str, str], home: int, others: Sequence[str], say_s: float, *, walks: bool
    ) -> None:
        self.name = name
        self.room = room
        self.walks = walks
        self.stays: list[Stay] = []
        self.refused: Counter[str] = Counter()
        """Dials that did not succeed, by why."""
        self.answered_at = 0.0
        self.is_quiet = False
        self.may_walk = True
        self._urls = urls
        self._place = home
        self._others = others
        self._say_s = say_s
        self._draw = Random(name)
        self._number = 0
        self._is_patient = self._draw.random() < 0.5
        self._lives: dict[asyncio.Task[None], ClientConnection] = {}
        self._is_over = False
        self._waiting: dict[int, asyncio.Future[None]] = {}

    @property
    def stay(self) -> Stay | None:
        """Where it is now."""
        return next((stay for stay in reversed(self.stays) if stay.ended_at is None), None)

    @property
    def is_waiting(self) -> bool:
        """For an answer."""
        return bool(self._waiting)

    async def run(self) -> None:
        """Until `leave`."""
        life: asyncio.Task[None] | None = None
        while not self._is_over:
            if (socket := await self._dial()) is None:
                continue
            if life is not None:
                await self._end(life)
            life = asyncio.create_task(self._live(socket, self.stays[-1]))
            self._lives[life] = socket
            life.add_done_callback(self._lives.pop)
            if self.walks:
                await asyncio.wait([life], timeout=self._draw.uniform(*WALK_S))
                while not self.may_walk and not life.done():
                    await asyncio.wait([life], timeout=0.1)
                if self._draw.random() < 0.5:
                    await self._end(life)
                self._place += 1
            else:
                await asyncio.wait([life])
        if life is not None:
            await self._end(life)

    async def leave(self) -> None:
        self._is_over = True
        await asyncio.gather(*(socket.close() for socket in self._lives.values()))

    async def _end(self, life: asyncio.Task[None]) -> None:
        if (socket := self._lives.get(life)) is not None:
            await socket.close()
        await life

    async def _dial(self) -> ClientConnection | None:
        hosts = list(self._urls)
        host = hosts[self._place % len(hosts)]
        patience = None if self._is_patient else SILENCE_S
        try:
            socket = await connect(
                f"{self._urls[host]}?id={self.name}&room={self.room}",
                ping_interval=1.0,
                ping_timeout=patience,
                close_timeout=1.0,
                open_timeout=DIAL_S,
                compression=None,
                max_queue=None,
                proxy=None,
            )
        except InvalidStatus as error:
            self.refused[str(error.response.status_code)] += 1
        except (OSError, TimeoutError, InvalidMessage) as error:
            self.refused[type(error).__name__] += 1
        else:
            self.stays.append(Stay(self.name, self.room, host, time.monotonic()))
            return socket
        await asyncio.sleep(AGAIN_S)
        self._place += 1
        return None

    async def _live(self, socket: ClientConnection, stay: Stay) -> None:
        talking = asyncio.create_task(self._talk(socket))
        try:
            async for text in socket:
                self._take(stay, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            stay.ended_at = time.monotonic()
            talking.cancel()
            await asyncio.wait([talking])

    def _take(self, stay: Stay, frame: dict[str, object]) -> None:
        payload = frame.get("payload")
        match frame["event"], payload:
            case "said", [str(sender), int(number)]:
                stay.heard.append((sender, number))
            case "told", [str(sender), int(number)]:
                stay.told.append((sender, number))
            case "hello", str(token):
                stay.session = token
            case "done", int(number):
                self.answered_at = time.monotonic()
                if (waiting := self._waiting.get(number)) is not None and not waiting.done():
                    waiting.set_result(None)

    async def _talk(self, socket: ClientConnection) -> None:
        draw, loop = self._draw, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._say_s * draw.uniform(0.5, 1.5))
            if self.is_quiet:
                continue
            number, self._number = self._number, self._number + 1
            event = "tell" if draw.random() < 0.25 else "say"
            answer = self._waiting[number] = loop.create_future()
            try:
                await socket.send(json.dumps({"event": event, "payload": [number, draw.choice(self._others)]}))
                await answer
            except ConnectionClosed:
                return
            finally:
                del self._waiting[number]
