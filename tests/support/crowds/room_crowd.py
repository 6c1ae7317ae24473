"""Clients in up to 20 rooms each that join and leave all the time under broadcasts: who hears what (contract §4).

Each room has one publisher, whose frames are numbered. A client notes, by its worker's word, from which number on it must hear a
room and from which on it must not; `judged` holds what it heard against that. Rooms that so many are in are joined on every
worker all the time, so each client also visits rooms of its own: it joins one, where nobody is and perhaps nobody has been for
some seconds, and must hear what its worker broadcasts there in the next moment.
See `scripts/room-crowd`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from bisect import bisect_right
from pathlib import Path
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.processes.server_process import serve_process

__all__ = ["crowd"]

UNDER_WAY_S = 3.0
"""What was issued so long before a leave is not under way any more."""

_VISITED_ROOMS = 8
"""Of each client: it comes back to one after about 5 s, when the server is about to let go of it, or has just done so."""

APP = """
import asyncio
from wspulse import Frame, Server

server = Server(lambda request: ("all", request.query["id"]), max_message_size=4096, send_buffer_size=4096)
issued = {}

@server.on_message
async def obey(connection, frame):
    if frame.event == "publish":
        room, count = frame.decode()
        for _ in range(count):
            number = issued[room] = issued.get(room, -1) + 1
            await server.broadcast(room, Frame("n", number, room=room))
        await connection.send(Frame("published", issued[room], frame.id))
    elif frame.event == "join":
        await connection.join(frame.decode())
        await connection.send(Frame("joined", None, frame.id))
    elif frame.event == "visit":
        await connection.join(frame.decode())
        await server.broadcast(frame.decode(), Frame("welcome", None, room=frame.decode()))
        await connection.send(Frame("visited", None, frame.id))
    elif frame.event == "leave":
        await connection.leave(frame.decode())
        await connection.send(Frame("left", None, frame.id))
"""


class Stay:
    """One stay of a client in a room: what must come, and after which nothing may."""

    def __init__(self, must_from: int) -> None:
        self.must_from = must_from
        self.must_before: int | None = None
        """What was issued before its leave was asked for: this and what follows may be missing, and of what came before only what
        was under way."""
        self.must_certainly_before = 0
        """What was issued long before it."""
        self.none_from: int | None = None
        """Issued after its leave had returned."""
        self.heard: list[int] = []


class Rooms:
    """The publishers' side: how many frames of each room are certainly issued, and how many may be."""

    def __init__(self, count: int) -> None:
        self.returned = [0] * count
        self.begun = [0] * count
        self._times: list[list[float]] = [[] for _ in range(count)]
        self._counts: list[list[int]] = [[] for _ in range(count)]

    def has_returned(self, room: int, count: int, now: float) -> None:
        self.returned[room] = count
        self._times[room].append(now)
        self._counts[room].append(count)

    def returned_by(self, room: int, time: float) -> int:
        """How many were certainly issued by then."""
        index = bisect_right(self._times[room], time)
        return self._counts[room][index - 1] if index else 0


class Member:
    def __init__(self, socket: ClientConnection, rooms: Rooms, seed: int) -> None:
        self._socket = socket
        self._rooms = rooms
        self._seed = seed
        self._random = Random(seed)
        self._number = 0
        self._answers: dict[str, asyncio.Future[None]] = {}
        self.stays: dict[int, list[Stay]] = {}
        self.inside: dict[int, Stay] = {}
        self.faults: list[str] = []
        self._visits = 0
        self._welcomes: dict[str, asyncio.Event] = {}
        self._last: dict[int, int] = {}

    async def ask(self, event: str, room: str) -> None:
        self._number += 1
        answer = self._answers[str(self._number)] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"event": event, "payload": room, "id": str(self._number)}))
        async with asyncio.timeout(20):
            await answer

    async def visit(self, room: str) -> None:
        self._visits += 1
        welcome = self._welcomes[room] = asyncio.Event()
        await self.ask("visit", room)
        try:
            async with asyncio.timeout(20):
                await welcome.wait()
        except TimeoutError:
            self.faults.append(f"{room}: what was issued after its join did not come")
        await self.ask("leave", room)

    async def listen(self) -> None:
        async for text in self._socket:
            frame: dict[str, Any] = json.loads(text)
            if frame["event"] == "welcome":
                self._welcomes.pop(frame["room"]).set()
                continue
            if frame["event"] != "n":
                self._answers.pop(frame["id"]).set_result(None)
                continue
            room, number = int(frame["room"].removeprefix("room ")), frame["payload"]
            if number <= self._last.get(room, -1):
                self.faults.append(f"{frame} behind {self._last[room]}")
            self._last[room] = number
            stays = self.stays.get(room)
            if not stays:
                self.faults.append(f"{frame}, and it was never there")
            else:
                stays[-1].heard.append(number)

    async def wander(self, until: float, most_rooms: int) -> None:
        loop = asyncio.get_running_loop()
        count = len(self._rooms.returned)
        while loop.time() < until:
            room = self._random.randrange(count)
            if self._random.random() < 0.1:
                await self.visit(f"{self._visits % _VISITED_ROOMS} of member {self._seed}")
            elif room in self.inside:
                stay = self.inside.pop(room)
                stay.must_before = self._rooms.returned[room]
                stay.must_certainly_before = self._rooms.returned_by(room, loop.time() - UNDER_WAY_S)
                await self.ask("leave", f"room {room}")
                # What is begun from now on was issued after the leave had returned.
                stay.none_from = self._rooms.begun[room]
            elif len(self.inside) < most_rooms:
                stay = Stay(0)
                self.stays.setdefault(room, []).append(stay)
                await self.ask("join", f"room {room}")
                stay.must_from = self._rooms.begun[room]
                self.inside[room] = stay
            await asyncio.sleep(self._random.random() * 0.05)

    def judged(self) -> list[str]:
        """What was wrong with what it heard."""
        faults = list(self.faults)
        for room, stays in self.stays.items():
            for stay in stays:
                before = stay.must_before if stay.must_before is not None else self._rooms.returned[room]
                heard = stay.heard
                if heard and heard != list(range(heard[0], heard[-1] + 1)):
                    faults.append(f"room {room}: a gap in {heard}")
                missing = set(range(stay.must_from, before)) - set(heard)
                # What was under way when it left may be missing, which is the last of what was issued.
                if missing and (
                    stay.must_before is None
                    or min(missing) < stay.must_certainly_before
                    or (heard and min(missing) <= heard[-1])
                ):
                    faults.append(f"room {room}: {sorted(missing)} of {stay.must_from} to {before} are missing")
                if stay.none_from is not None and heard and heard[-1] >= stay.none_from:
                    faults.append(f"room {room}: {heard[-1]} was issued after its leave, {stay.none_from}")
        return faults


async def _publish(url: str, room: int, rooms: Rooms, until: float) -> None:
    loop, random = asyncio.get_running_loop(), Random(room)
    async with connect(f"{url}?id=publisher-{room}", ping_interval=None, compression=None) as socket:
        while loop.time() < until:
            count = 1 + random.randrange(4)
            rooms.begun[room] += count
            await socket.send(json.dumps({"event": "publish", "payload": [f"room {room}", count], "id": "p"}))
            async with asyncio.timeout(20):
                answer = json.loads(await socket.recv())
            rooms.has_returned(room, answer["payload"] + 1, loop.time())
            await asyncio.sleep(random.random() * 0.1)


async def crowd(url: str, *, clients: int, rooms: int, most_rooms: int, seconds: float) -> tuple[list[str], int]:
    """What was wrong, and how many frames were heard."""
    state = Rooms(rooms)
    until = asyncio.get_running_loop().time() + seconds
    members = []
    for number in range(clients):
        socket = await connect(
            f"{url}?id=member-{number}", ping_interval=None, compression=None, max_queue=None, open_timeout=30
        )
        members.append(Member(socket, state, number))
    listening = [asyncio.create_task(member.listen()) for member in members]
    try:
        await asyncio.gather(
            *(_publish(url, room, state, until) for room in range(rooms)),
            *(member.wander(until - 0.5, most_rooms) for member in members),
        )
        await asyncio.sleep(1)  # what is on its way to those who have stayed
    finally:
        for member, task in zip(members, listening, strict=True):
            await member._socket.close()
            await asyncio.wait([task])
    faults = [f"member-{number}: {fault}" for number, member in enumerate(members) for fault in member.judged()]
    return faults, sum(len(stay.heard) for member in members for stays in member.stays.values() for stay in stays)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Clients that join and leave rooms under broadcasts, held to the contract."
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(APP)
        with serve_process("--app", "app:server", workers=4, cwd=Path(folder)) as server:
            faults, heard = asyncio.run(
                crowd(server.url, clients=options.clients, rooms=40, most_rooms=20, seconds=options.seconds)
            )
    print("\n".join(faults[:20]))
    print(f"{heard} frames heard, {len(faults)} faults")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
