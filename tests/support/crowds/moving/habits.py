"""What clients of the moving crowd do, by their kind: most talk, some do what makes a session hard to move.

`program` runs one of these for each client until it is told that the crowd is to be quiet; then each ends what it has begun.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from zlib import crc32

from tests.support.crowds.moving.client import Client, CutOffError
from tests.support.wire.raw_peer import masked

__all__ = ["HABITS", "Halver", "Pause"]

Pause = Callable[[float], Awaitable[bool]]
"""Wait so long; whether the crowd still talks."""

FLOOD_FRAMES, FLOOD_BYTES = 16, 400_000
"""More than the kernel takes of it: 6.4 MB, of which the server has to keep some."""


class Halver(Client):
    """Sends its messages in pieces, and is told what came of each."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sums: dict[int, int] = {}

    def answered(self, number: int, answer: Any) -> None:
        if self.sums.pop(number) != answer:
            self.heard.lost += 1
            self.heard.tell(f"message {number} came to the server as another")


async def talk(client: Client, random: Random, pause: Pause, settings: dict[str, Any]) -> None:
    """A frame now and then, of which some are passed on and a few hold up the whole worker."""
    while await pause(settings["say_s"] * random.uniform(0.5, 1.5)) and client.is_open:
        drawn = random.random()
        if drawn < settings["busy"]:
            client.say("busy", 0.03)
        elif drawn < 0.25:
            client.say("relay")
        elif drawn < 0.3:
            client.say("visit")
        else:
            for _ in range(random.choice((1, 1, 1, 3))):
                client.say("echo")


async def be_blocked(client: Client, random: Random, pause: Pause, settings: dict[str, Any]) -> None:
    """Ask for more than fits into any buffer, and do not read it for a while."""
    goes_on = await pause(random.uniform(0, 1))
    while goes_on and client.is_open:
        assert client.transport is not None
        client.transport.pause_reading()
        client.say("flood", FLOOD_FRAMES, FLOOD_BYTES)
        goes_on = await pause(random.uniform(1, 5))
        client.say("echo")
        client.transport.resume_reading()
        # Until it has read all.
        while goes_on and client.is_waiting:
            goes_on = await pause(0.1)


async def halve(client: Client, random: Random, pause: Pause, settings: dict[str, Any]) -> None:
    """Messages in one piece and in two frames, cut anywhere, with a pause in which the session may move."""
    assert isinstance(client, Halver)
    while await pause(random.uniform(0, 0.3)) and client.is_open:
        assert client.transport is not None
        text = "äö€𝄞" * random.randrange(1, 60)
        number = client.sent
        client.sums[number] = crc32(text.encode())
        data = (
            _in_two_frames(client.frame("whole", text), random) if random.random() < 0.5 else _masked_anew(client, text)
        )
        cut = random.randrange(1, len(data))
        client.is_halfway = True
        client.transport.write(data[:cut])
        await pause(random.choice((0.02, 0.5, 1.0, 3.0)))
        client.transport.write(data[cut:])
        client.complete()


async def come_and_go(client: Client, random: Random, pause: Pause, settings: dict[str, Any]) -> None:
    """Be away for a while, and come back to the session."""
    while await pause(random.uniform(0.2, 1.5)) and client.is_open:
        client.say("relay")
        client.say("echo")
        code, reason = await client.leave()
        if code not in (1000, 1005):
            client.end = (code, reason)
            return
        await pause(random.uniform(0.1, 4.0))
        while True:
            try:
                await client.open()
                break
            except CutOffError:  # by a process that was killed, or its book tells of a fault
                client.cut_off += 1
                await pause(0.1)


async def be_slow(client: Client, random: Random, pause: Pause, settings: dict[str, Any]) -> None:
    """Have a handler that takes seconds, and say more meanwhile."""
    while await pause(random.uniform(1, 6)) and client.is_open:
        client.say("slow", settings["slow_s"])
        for _ in range(5):
            await pause(random.uniform(0, 1))
            client.say("echo")


async def be_stuck(client: Client, random: Random, pause: Pause, settings: dict[str, Any]) -> None:
    """Have a handler that takes a minute."""
    client.say("slow", 60.0)
    while await pause(1.0):
        pass


HABITS: dict[str, Callable[[Client, Random, Pause, dict[str, Any]], Awaitable[None]]] = {
    "plain": talk,
    "blocked": be_blocked,
    "half": halve,
    "away": come_and_go,
    "slow": be_slow,
    "stuck": be_stuck,
}
"""By kind. Those of kind `exact` are in `lines`."""


def _payload(frame: bytes) -> bytes:
    """Of a frame that was masked with zeros."""
    start = {126: 8, 127: 14}.get(frame[1] & 0x7F, 6)
    return frame[start:]


def _masked_anew(client: Client, text: str) -> bytes:
    return masked(1, _payload(client.frame("whole", text)))


def _in_two_frames(frame: bytes, random: Random) -> bytes:
    """The message in two frames, the first of which may end within a character."""
    payload = _payload(frame)
    # Behind the head, where there are characters to be cut.
    cut = random.randrange(1, len(payload))
    return _fragment(0x01, payload[:cut]) + _fragment(0x80, payload[cut:])


def _fragment(first: int, payload: bytes) -> bytes:
    mask = os.urandom(4)
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes((first,)) + length + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
