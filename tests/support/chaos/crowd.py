"""`Crowd`: clients in rooms of their own, who say numbered frames and check that everybody's come whole and in order."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from wspulse.actors.mesh.placement import Placement

__all__ = ["Crowd", "Member"]

HEARD_WITHIN_S = 15.0
"""How long a frame may take that is said when nothing is out of order any more."""

BACK_WITHIN_S = 20.0
"""How long whoever was cut off may take: the longest backoff, a start, and a busy machine."""

_AGAIN_S = 0.05

OF_ONE_SHARD = 2
"""Members of each room that lives in one worker alone."""


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

    async def say(self) -> None:
        self.said += 1
        frame = {"event": "said", "id": self.voice, "payload": [self.said, time.monotonic()]}
        await self.socket.send(json.dumps(frame))


class Crowd:
    """See the module. Use as an asynchronous context manager; it talks all the while.

    Beside `members` in rooms that span the workers there are a few in rooms that live in one worker alone, `room_of_shard`, so
    that it is seen whom a worker holds up that does not run.
    """

    def __init__(
        self,
        url: str,
        *,
        workers: int,
        members: int = 40,
        rooms: int = 5,
        frames_per_s: float = 4,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.members: dict[str, Member] = {}
        self.heard = 0
        """Frames that came, to everybody."""
        self.faults: list[str] = []
        """Frames that were lost, doubled or out of order."""
        self.longest_s: dict[str, float] = {}
        """By room, the longest time from saying to hearing."""
        self._url = url
        self._tls = tls
        placement = Placement(workers)
        self._names = [(f"c{number}", f"room{number % rooms}") for number in range(members)]
        self._names += [
            (placement.new_id(shard), room_of_shard(shard)) for shard in range(workers) for _ in range(OF_ONE_SHARD)
        ]
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

    def forget_waits(self) -> None:
        """Look at waits from now on."""
        self.longest_s.clear()

    def longest_in(self, shard: int) -> float:
        """The longest wait in the room that only this worker has members of."""
        return self.longest_s.get(room_of_shard(shard), 0.0)

    async def come_back(self) -> None:
        """Whoever has no socket gets one, with a fresh session of the same id; dialled again for as long as it is refused."""
        missing = [
            (name, room) for name, room in self._names if name not in self.members or self.members[name].end is not None
        ]
        async with asyncio.timeout(BACK_WITHIN_S):
            await asyncio.gather(*(self._come(name, room) for name, room in missing))

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
        assert not self.faults, self.faults[:5]

    async def _come(self, name: str, room: str) -> None:
        while True:
            try:
                socket = await connect(
                    f"{self._url}?id={name}&room={room}",
                    proxy=None,
                    ssl=self._tls,
                    compression=None,
                    ping_interval=None,
                    close_timeout=1,
                    open_timeout=BACK_WITHIN_S,
                )
                break
            except (OSError, EOFError, InvalidStatus):
                await asyncio.sleep(_AGAIN_S)
        self._number += 1
        member = self.members[name] = Member(f"{name}.{self._number}", room, socket)
        self._listening[name] = asyncio.create_task(self._listen(member))

    async def _listen(self, member: Member) -> None:
        """Until its socket ends."""
        try:
            async for message in member.socket:
                frame: dict[str, Any] = json.loads(message)
                if frame.get("event") == "said":
                    self._hear(member, frame["id"], *frame["payload"])
        except ConnectionClosed:
            pass
        closed = member.socket.protocol.close_rcvd
        member.end = (closed.code, closed.reason) if closed is not None else (1006, "")

    def _hear(self, member: Member, who: str, number: int, said_at: float) -> None:
        self.heard += 1
        last = member.heard.get(who)
        if last is not None and number != last + 1:
            self.faults.append(f"{member.voice} heard {number} of {who} after {last}")
        member.heard[who] = number
        waited_s = time.monotonic() - said_at
        if waited_s > self.longest_s.get(member.room, 0.0):
            self.longest_s[member.room] = waited_s

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


def room_of_shard(shard: int) -> str:
    return f"of-shard-{shard}"
