"""`Crowd`: clients in rooms of their own, who say numbered frames and check that everybody's come whole and in order."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["Crowd", "Member"]

HEARD_WITHIN_S = 15.0
"""How long a frame may take that is said when nothing is out of order any more."""


@dataclass
class Member:
    """One client. `voice` names it, anew with every session; `end` is how its socket ended, (code, reason), None as long as it
    lives."""

    voice: str
    room: str
    socket: ClientConnection
    end: tuple[int, str] | None = None
    said: int = 0
    heard: dict[str, int] = field(default_factory=dict)
    """By voice in the room, the number of its last frame."""
    faults: list[str] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self) -> None:
        self.said += 1
        await self.socket.send(json.dumps({"event": "said", "id": self.voice, "payload": self.said}))

    async def listen(self) -> None:
        """Until the socket ends."""
        try:
            async for message in self.socket:
                frame: dict[str, Any] = json.loads(message)
                if frame.get("event") != "said":
                    continue
                who, number = frame["id"], frame["payload"]
                last = self.heard.get(who)
                if last is not None and number != last + 1:
                    self.faults.append(f"{self.voice} heard {number} of {who} after {last}")
                self.heard[who] = number
                self.told.set()
        except ConnectionClosed:
            pass
        closed = self.socket.protocol.close_rcvd
        self.end = (closed.code, closed.reason) if closed is not None else (1006, "")
        self.told.set()


class Crowd:
    """See the module. Use as an asynchronous context manager; it talks all the while."""

    def __init__(self, url: str, *, members: int = 50, rooms: int = 5, frames_per_s: float = 4) -> None:
        self.members: dict[str, Member] = {}
        self._url = url
        self._names = [(f"c{number}", f"room{number % rooms}") for number in range(members)]
        self._pause_s = 1 / frames_per_s
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._talking: asyncio.Task[None] | None = None
        self._number = 0

    async def __aenter__(self) -> Crowd:
        await self.come_back()
        self._talking = asyncio.create_task(self._talk())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._talking is not None
        self._talking.cancel()
        for member in self.members.values():
            member.socket.transport.abort()
        await asyncio.wait([self._talking, *self._listening.values()])

    @property
    def ends(self) -> dict[str, tuple[int, str]]:
        """How the sockets ended of those whose socket has."""
        return {name: member.end for name, member in self.members.items() if member.end is not None}

    async def come_back(self) -> None:
        """Whoever has no socket gets one, with a fresh session of the same id."""
        for name, room in self._names:
            if name not in self.members or self.members[name].end is not None:
                socket = await connect(
                    f"{self._url}?id={name}&room={room}", proxy=None, ping_interval=None, close_timeout=1
                )
                self._number += 1
                member = self.members[name] = Member(f"{name}.{self._number}", room, socket)
                self._listening[name] = asyncio.create_task(member.listen())

    async def hear_each_other(self) -> None:
        """Everybody says something, and everybody of the room hears it. AssertionError with who did not hear whom."""
        present = {member.voice: member for member in self.members.values() if member.end is None}
        expected = {}
        rooms: dict[str, list[str]] = {}
        for voice, member in present.items():
            await member.say()
            expected[voice] = member.said
            rooms.setdefault(member.room, []).append(voice)

        def missing() -> list[str]:
            return [
                f"{hearer} of {speaker} ({present[hearer].heard.get(speaker)} of {expected[speaker]})"
                for voices in rooms.values()
                for hearer in voices
                for speaker in voices
                if present[hearer].end is None and present[hearer].heard.get(speaker, 0) < expected[speaker]
            ]

        end = asyncio.get_running_loop().time() + HEARD_WITHIN_S
        while left := missing():
            assert asyncio.get_running_loop().time() < end, f"{len(left)} did not hear, e.g. {left[:5]}"
            await asyncio.sleep(0.05)

    def assert_in_order(self) -> None:
        faults = [fault for member in self.members.values() for fault in member.faults]
        assert not faults, faults[:5]

    async def _talk(self) -> None:
        while True:
            for member in list(self.members.values()):
                if member.end is None:
                    try:
                        # A server that stands still takes nothing; then this member has nothing more to say.
                        async with asyncio.timeout(1):
                            await member.say()
                    except (ConnectionClosed, TimeoutError):
                        pass
            await asyncio.sleep(self._pause_s)
