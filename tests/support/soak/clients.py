"""What the clients of a soak do, each kind in a class; each runs until it is cancelled, and never ends by itself."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.contract.exact_client import ExactClient
from tests.support.soak.ledger import Ledger

__all__ = [
    "Client",
    "CompressingTalker",
    "ExactTalker",
    "Idler",
    "Loud",
    "Place",
    "Reconnecting",
    "SlowReader",
    "Talker",
]

_AGAIN_S = 0.3
"""From the end of a socket to the next."""

SLOW_READS_PER_S = 10
LOUD_SAYS_PER_S = 20
LOUD_BYTES = 4000
"""Twice what a slow reader reads: its buffer at the server is full, and stays so."""

LIFE_S = (5.0, 15.0)
"""Of a socket that its client cuts."""

ACKNOWLEDGED_FRAMES = 8
"""An exact client tells so often what has come."""


@dataclass(frozen=True)
class Place:
    """Where a client dials: the plain Unix socket, or TLS over TCP where there is a context for it."""

    url: str
    options: dict[str, Any]

    @classmethod
    def plain(cls, path: str) -> Place:
        return cls("ws://localhost/ws", {"unix": True, "path": path})

    @classmethod
    def tls(cls, port: int, context: ssl.SSLContext) -> Place:
        return cls(f"wss://127.0.0.1:{port}/ws", {"ssl": context})


class Client:
    """It stays, and hears what is said in its room. `period_s` is about how often it says something, 0 for never."""

    compression: str | None = None
    padding = ""
    queue: int | None = 16

    def __init__(self, name: str, room: str, place: Place, ledger: Ledger, draw: Random, period_s: float) -> None:
        self.name = name
        self.room = room
        self.heard: dict[str, int] = {}
        self.ledger = ledger
        self.draw = draw
        self.is_to_be_quiet = False
        self.has_begun = asyncio.Event()
        self._place = place
        self._period_s = period_s
        self._socket: ClientConnection | None = None
        ledger.clients += 1

    async def run(self) -> None:
        talking = asyncio.create_task(self._talk()) if self._period_s else None
        try:
            while True:
                try:
                    await self._live()
                except (ConnectionClosed, OSError, EOFError) as error:
                    self.ledger.closed += 1
                    self.ledger.note(f"{self.name}: {error!r}")
                except InvalidStatus as refused:
                    self.ledger.refused += 1
                    self.ledger.note(f"{self.name}: {refused.response.status_code}")
                await asyncio.sleep(_AGAIN_S)
        finally:
            if talking is not None:
                talking.cancel()
            if self._socket is not None:
                self._socket.transport.abort()

    async def _live(self) -> None:
        """For as long as its socket lives: returns when it has cut it itself, ConnectionClosed when it ends otherwise."""
        self._socket = await self._dial()
        while True:
            self.take(json.loads(await self._socket.recv()))

    async def _dial(self) -> ClientConnection:
        return await connect(
            f"{self._place.url}?id={self.name}&room={self.room}",
            proxy=None,
            compression=self.compression,
            ping_interval=None,
            max_queue=self.queue,
            open_timeout=20,
            **self._place.options,
        )

    def take(self, frame: dict[str, Any]) -> None:
        if frame["event"] == "said":
            voice, number = frame["payload"][:2]
            self.ledger.hear(self.heard, voice, number)
        elif frame["event"] == "begun":
            self.begin()

    def begin(self) -> None:
        if self.has_begun.is_set():
            self.ledger.sessions_lost += 1
            self.ledger.note(f"{self.name}: its session has begun anew")
        self.has_begun.set()

    async def say(self) -> None:
        assert self._socket is not None
        await self._socket.send(self._frame())

    def _frame(self) -> str:
        return json.dumps({"event": "said", "payload": [self.name, self.ledger.say(self.name), self.padding]})

    async def _talk(self) -> None:
        await self.has_begun.wait()
        while True:
            await asyncio.sleep(self.draw.uniform(0.5, 1.5) * self._period_s)
            if not self.is_to_be_quiet:
                # The end of its socket is told where it reads.
                with suppress(ConnectionClosed):
                    await self.say()


class Idler(Client):
    """It says nothing and hears nothing."""


class Talker(Client):
    """It says something now and then."""


class CompressingTalker(Talker):
    """Its messages are long enough to be compressed, both ways."""

    compression = "deflate"
    padding = "and so on, " * 50


class Loud(Client):
    """It talks too much for those who are slow."""

    padding = "x" * LOUD_BYTES


class SlowReader(Client):
    """It reads half of what is said in its room."""

    queue = 2

    async def _live(self) -> None:
        self._socket = await self._dial()
        while True:
            self.take(json.loads(await self._socket.recv()))
            await asyncio.sleep(1 / SLOW_READS_PER_S)


class Reconnecting(Client):
    """It cuts its socket time and again, and comes back to its session."""

    async def _live(self) -> None:
        self._socket = await self._dial()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.draw.uniform(*LIFE_S)):
                while True:
                    self.take(json.loads(await self._socket.recv()))
        self._socket.transport.abort()
        self.ledger.came_back += 1


class ExactTalker(Client):
    """An exact session whose socket is cut time and again: what it says and hears has no gap all the same."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._exact = ExactClient(f"{self._place.url}?id={self.name}&room={self.room}")
        self._exact.options = self._place.options
        self._is_up = False

    async def _live(self) -> None:
        exact = self._exact
        await exact.dial()
        self._socket, self._is_up = exact.socket, True
        try:
            async with asyncio.timeout(self.draw.uniform(*LIFE_S)):
                while True:
                    self.take(await exact.receive())
                    if exact.received % ACKNOWLEDGED_FRAMES == 0:
                        await exact.acknowledge()
        except TimeoutError:
            exact.drop()
            self.ledger.came_back += 1
        finally:
            self._is_up = False

    async def say(self) -> None:
        if self._is_up:
            await self._exact.send_raw(self._frame())
        else:
            # Sent when it is back, in its turn.
            self._exact.sent += 1
            self._exact.unacknowledged.append(self._frame())
