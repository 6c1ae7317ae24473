"""The clients of a soak, in a process of their own: so many of each kind, in rooms of ten.

It is told what to do over a pipe: "told" is answered with what the ledgers say; "finish" has everybody fall silent, and is
answered with the same when what was said last has come to all, or should have.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import Random

import uvloop

from tests.support.soak.clients import (
    LOUD_SAYS_PER_S,
    Client,
    CompressingTalker,
    ExactTalker,
    Idler,
    Loud,
    Place,
    Reconnecting,
    SlowReader,
    Talker,
)
from tests.support.soak.ledger import Ledger
from wspulse.supervisor.host.descriptor_limit import raise_descriptor_limit

__all__ = ["KINDS", "Door", "crowd_process", "sizes"]

ROOM_SIZE = 10

PERIOD_S = 1.0
"""A client that talks says something so often, about."""

SETTLED_S = 15.0
"""So long what was said last may take: a client that has just cut its socket is back by then, and a slow one has read."""

KINDS = {
    "chatty": 100,
    "idle": 60,
    "exact": 40,
    "compressing": 30,
    "tls": 30,
    "reconnecting": 30,
    "slow": 10,
}
"""Of 300 clients."""


@dataclass(frozen=True)
class Door:
    """Where the server is: plain on a Unix socket, TLS on a port, by a certificate of this authority."""

    path: str
    port: int
    authority: str

    def places(self) -> tuple[Place, Place]:
        return Place.plain(self.path), Place.tls(self.port, ssl.create_default_context(cafile=self.authority))


def sizes(clients: int) -> dict[str, int]:
    """How many there are of each kind, at least two."""
    return {kind: max(2, round(clients * count / sum(KINDS.values()))) for kind, count in KINDS.items()}


def _clients(door: Door, clients: int, draw: Random) -> tuple[dict[str, Ledger], list[Client]]:
    plain, tls = door.places()
    made: list[Client] = []
    ledgers: dict[str, Ledger] = {}

    def add(
        kind: str, client: Callable[..., Client], count: int, place: Place, period_s: float, *, may_miss: bool = False
    ) -> None:
        own = ledgers.setdefault(kind, Ledger(kind, may_miss))
        for number in range(count):
            room = f"{kind}-{number // ROOM_SIZE}"
            made.append(client(f"{client.__name__}-{kind}-{number}", room, place, own, draw, period_s))

    count = sizes(clients)
    add("chatty", Talker, count["chatty"], plain, PERIOD_S)
    add("idle", Idler, count["idle"], plain, 0)
    add("exact", ExactTalker, count["exact"], plain, PERIOD_S)
    add("compressing", CompressingTalker, count["compressing"], plain, PERIOD_S)
    add("tls", Talker, count["tls"], tls, PERIOD_S)
    add("reconnecting", Reconnecting, count["reconnecting"], plain, PERIOD_S, may_miss=True)
    add("slow", SlowReader, count["slow"], plain, 0, may_miss=True)
    # Nobody hears it but those.
    add("slow", Loud, 1, plain, 1 / LOUD_SAYS_PER_S)
    return ledgers, made


def crowd_process(door: Door, clients: int, seed: int, pipe: Connection) -> None:
    """The target of the process."""
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(door, clients, Random(seed), pipe))


async def _run(door: Door, clients: int, draw: Random, pipe: Connection) -> None:
    ledgers, made = _clients(door, clients, draw)
    tasks = [asyncio.create_task(client.run()) for client in made]
    for client in made:
        await client.has_begun.wait()
    pipe.send("all are there")
    while (order := await asyncio.to_thread(pipe.recv)) != "finish":
        assert order == "told"
        pipe.send([ledger.told() for ledger in ledgers.values()])
    for client in made:
        client.is_to_be_quiet = True
    await _settle(made)
    for client in made:
        client.ledger.end(client.heard, _voices(client, made))
    pipe.send([ledger.told() for ledger in ledgers.values()])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _voices(client: Client, made: Iterable[Client]) -> list[str]:
    return [other.name for other in made if other.room == client.room]


async def _settle(made: list[Client]) -> None:
    """Until everybody who may not miss anything has all, or should have."""
    waiting = [(client, _voices(client, made)) for client in made if not client.ledger.may_miss]
    end = asyncio.get_running_loop().time() + SETTLED_S
    while asyncio.get_running_loop().time() < end:
        waiting = [
            (client, voices)
            for client, voices in waiting
            if any(client.heard.get(voice, 0) < client.ledger.spoken.get(voice, 0) for voice in voices)
        ]
        if not waiting:
            return
        await asyncio.sleep(0.1)
