"""A session that walks between two hosts: its client is cut off, and comes back on the other one; again and again.

Numbered frames go in both directions, and through its room, before each cut, while nobody is there, and after the return. An
exact client gets all of them, once and in order, and what it has said is handled once and in order. A plain one may miss what was
under way when its connection died, and nothing else: what was sent to it before the server had noticed, and what it had said and
the server had not read. Nothing of it comes twice or out of order either.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Protocol

from tests.support.contract.client import Client
from tests.support.contract.exact_client import ExactClient
from tests.support.contract.server import ContractServer

__all__ = ["Lost", "exact_walk", "plain_walk"]

_MOST_AT_ONCE = 4
_MOST_BEFORE = 50
"""What was read already, of what is waited for."""


@dataclass
class Lost:
    """What a plain client has missed, in frames."""

    sent: int = 0
    said: int = 0
    of_sent: int = 0
    of_said: int = 0


class Walker(Protocol):
    async def come(self, host: ContractServer) -> None:
        """Come (back), on this host."""

    async def next(self) -> tuple[str, int]:
        """The event and the number of the next frame."""

    async def say(self, number: int) -> None: ...

    def drop(self) -> None: ...


class _Exact:
    def __init__(self, name: str, room: str) -> None:
        self._name = name
        self._room = room
        self._client: ExactClient | None = None
        self._draw = Random(name)

    async def come(self, host: ContractServer) -> None:
        url = partial(host.url, id=self._name, room=self._room)
        if self._client is None:
            self._client = ExactClient(url)
            await self._client.dial()
            return
        self._client.url = url
        first = await self._client.dial()
        assert first["recovered"], "its session is over"
        assert first["lost"] == 0

    async def next(self) -> tuple[str, int]:
        assert self._client is not None
        frame = await self._client.receive()
        if self._draw.random() < 0.2:
            await self._client.acknowledge()
        return frame["event"], frame["payload"]

    async def say(self, number: int) -> None:
        assert self._client is not None
        await self._client.send("note", number)

    def drop(self) -> None:
        assert self._client is not None
        self._client.drop()


class _Plain:
    def __init__(self, name: str, room: str) -> None:
        self._name = name
        self._room = room
        self._client: Client | None = None

    async def come(self, host: ContractServer) -> None:
        self._client = await host.client(self._name, self._room)

    async def next(self) -> tuple[str, int]:
        assert self._client is not None
        frame = await self._client.receive()
        return frame["event"], frame["payload"]

    async def say(self, number: int) -> None:
        assert self._client is not None
        await self._client.send("note", number)

    def drop(self) -> None:
        assert self._client is not None
        self._client.drop()


@dataclass
class _Walk:
    """`sent` has the event "sent" for what was sent to it, and "said" for what was broadcast: between the two no order is
    promised."""

    hosts: list[ContractServer]
    draw: Random
    walker: Walker
    name: str
    room: str
    bosses: list[Client]
    sent: list[tuple[str, int]] = field(default_factory=list)
    at_risk: list[list[tuple[str, int]]] = field(default_factory=list)
    """Of each leg, what was sent when it was not sure whether the connection lives."""
    got: list[tuple[str, int]] = field(default_factory=list)
    said: list[int] = field(default_factory=list)
    said_at_risk: list[list[int]] = field(default_factory=list)
    number: int = 0

    async def send(self, boss: Client) -> list[tuple[str, int]]:
        """Some frames, to it or to its room; returns them when all are on their way."""
        frames, answers = [], []
        for _ in range(self.draw.randint(1, _MOST_AT_ONCE)):
            self.number += 1
            if self.draw.random() < 0.5:
                frames.append(("sent", self.number))
                answers.append(await boss.order_only("send", to=self.name, payload=self.number))
            else:
                frames.append(("said", self.number))
                answers.append(await boss.order_only("broadcast", room=self.room, payload=self.number))
        for answer in answers:
            refused = await boss.answer(answer)
            assert refused is None, refused
        self.sent += frames
        return frames

    async def say(self) -> list[int]:
        numbers = [self.number + place for place in range(1, self.draw.randint(1, _MOST_AT_ONCE) + 1)]
        self.number = numbers[-1]
        for number in numbers:
            await self.walker.say(number)
        self.said += numbers
        return numbers

    async def gets(self, frames: list[tuple[str, int]]) -> None:
        """Read until it has them all."""
        left = set(frames) - set(self.got[-_MOST_BEFORE:])
        while left:
            frame = await self.walker.next()
            self.got.append(frame)
            left.discard(frame)

    def of(self, event: str) -> tuple[list[int], list[int]]:
        """What of it was sent, and what came."""
        sent, got = ([number for kind, number in frames if kind == event] for frames in (self.sent, self.got))
        return sent, got

    async def run(self, walks: int) -> None:
        notes = self.hosts[0].notes
        await self.walker.come(self.hosts[0])
        for walk in range(1, walks + 1):
            here, there = self.bosses[walk % 2], self.bosses[1 - walk % 2]
            await self.gets(await self.send(here))
            handled = (await self.say())[-1]
            await notes.until(partial(self.is_handled, handled), f"{handled} is handled")
            # What follows is under way when the connection dies.
            sending = asyncio.create_task(self.send(there))
            self.said_at_risk.append(await self.say())
            await asyncio.sleep(self.draw.choice((0, 0.001, 0.005)))
            self.walker.drop()
            self.at_risk.append(await sending)
            await notes.has(self.name, "drop", walk)
            kept = await self.send(here) + await self.send(there)
            await self.walker.come(self.hosts[walk % 2])
            await self.gets(kept)
        last_said = (await self.say())[-1]
        await notes.until(partial(self.is_handled, last_said), "all is handled")

    def handled(self) -> list[int]:
        return [entry["detail"] for entry in self.hosts[0].notes.of(self.name) if entry["kind"] == "message"]

    def is_handled(self, number: int) -> bool:
        return number in self.handled()

    def kinds(self) -> list[str]:
        return [kind for kind in self.hosts[0].notes.kinds(self.name) if kind != "message"]


async def _walked(hosts: list[ContractServer], draw: Random, walker: type[_Exact | _Plain], walks: int) -> _Walk:
    name, room = hosts[0].new_id("walker"), hosts[0].new_id("room")
    bosses = [await host.client(host.new_id("boss"), "bosses") for host in hosts]
    walk = _Walk(hosts, draw, walker(name, room), name, room, bosses)
    await walk.run(walks)
    await bosses[0].order("kick", id=name)
    notes = hosts[0].notes
    await notes.ended(name)
    for boss in bosses:
        await boss.close()
    # The session, its callbacks and the hooks of its transfers: one of each for each walk, in their order.
    kinds = walk.kinds()
    assert kinds == ["connect", *["drop", "transfer out", "transfer in", "restore"] * walks, "disconnect"], kinds
    assert len({entry["session"] for entry in notes.of(name)}) == 1
    return walk


async def exact_walk(hosts: list[ContractServer], draw: Random, *, walks: int) -> int:
    """Returns how many frames there were, in both directions."""
    walk = await _walked(hosts, draw, _Exact, walks)
    for event in ("sent", "said"):
        sent, got = walk.of(event)
        assert got == sent, f"{event}: sent {sent}, got {got}"
    assert walk.handled() == walk.said, f"said {walk.said}, handled {walk.handled()}"
    return len(walk.got) + len(walk.said)


async def plain_walk(hosts: list[ContractServer], draw: Random, *, walks: int) -> Lost:
    walk = await _walked(hosts, draw, _Plain, walks)
    handled = walk.handled()
    for event in ("sent", "said"):
        _, got = walk.of(event)
        assert got == sorted(set(got)), f"{event}: twice, or out of order: {got}"
    assert handled == sorted(set(handled)), f"handled twice, or out of order: {handled}"
    lost = Lost(len(walk.sent), len(walk.said))
    missed = set(walk.sent) - set(walk.got)
    for at_risk in walk.at_risk:
        for event in ("sent", "said"):
            frames = [frame for frame in at_risk if frame[0] == event]
            of_these = [place for place, frame in enumerate(frames) if frame in missed]
            # What was written to the dead connection, one behind the other; what came after that waits.
            assert not of_these or of_these == list(range(of_these[0], of_these[-1] + 1)), (frames, missed)
            lost.of_sent += len(of_these)
            missed -= set(frames)
    assert not missed, f"{missed} was sent when the server knew, or when its client was there"
    unhandled = set(walk.said) - set(handled)
    for said in walk.said_at_risk:
        left = [number for number in said if number in unhandled]
        assert left == said[len(said) - len(left) :], f"read, but not handled: {said}, {left}"
        lost.of_said += len(left)
        unhandled -= set(left)
    assert not unhandled, f"{unhandled} was said over a connection that lives"
    return lost
