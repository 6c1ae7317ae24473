"""Clients that ask and take the time, in a process of their own, so that nothing but the server keeps them waiting.

Over a pipe, "told" is answered with the waits since it was told last, in seconds, and how many of the probes were closed.
"""

from __future__ import annotations

import asyncio
import time
from itertools import cycle
from multiprocessing.connection import Connection

import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.soak.clients import Place
from tests.support.soak.crowd import Door

__all__ = ["probes_process"]

ASK_EVERY_S = 0.25

QUESTION = '{"event":"ask"}'


def probes_process(door: Door, probes: int, pipe: Connection) -> None:
    """The target of the process. Every other probe asks over TLS."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(door, probes, pipe))


async def _run(door: Door, probes: int, pipe: Connection) -> None:
    waits_s: list[float] = []
    ended: list[str] = []

    async def ask(number: int, place: Place, are_there: asyncio.Barrier) -> None:
        await asyncio.sleep(ASK_EVERY_S * number / probes)
        try:
            async with connect(
                f"{place.url}?room=probes&id=probe-{number}",
                proxy=None,
                compression=None,
                ping_interval=None,
                open_timeout=20,
                **place.options,
            ) as socket:
                assert "begun" in str(await socket.recv())
                await are_there.wait()
                while True:
                    asked = time.monotonic()
                    await socket.send(QUESTION)
                    await socket.recv()
                    waits_s.append(time.monotonic() - asked)
                    await asyncio.sleep(ASK_EVERY_S)
        except ConnectionClosed as error:
            ended.append(repr(error))

    are_there = asyncio.Barrier(probes + 1)
    places = cycle(door.places())
    tasks = [asyncio.create_task(ask(number, next(places), are_there)) for number in range(probes)]
    await are_there.wait()
    pipe.send("all are there")
    while await asyncio.to_thread(pipe.recv) == "told":
        pipe.send((list(waits_s), len(ended)))
        waits_s.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
