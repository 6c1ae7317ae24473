"""Sessions that move between processes of `Shards`, seen by their clients; and a move that is held up at one step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse.actors.runtime.runtime import ShardRuntime
from wspulse.actors.wire.frames import CLOSE, PING, PONG, TEXT

__all__ = ["FrozenBatch", "Listener", "listening", "said"]


def said(event: str, payload: Any = None) -> bytes:
    """A client's frame, in wire form."""
    return masked(TEXT, json.dumps({"event": event, "payload": payload}).encode())


class Listener:
    """A client that notes what it gets: by room what is broadcast there, and apart from that what is sent to it."""

    def __init__(self, peer: RawPeer, connection_id: str) -> None:
        self.peer = peer
        self.id = connection_id
        self.rooms: dict[str, list[Any]] = {}
        self.direct: list[Any] = []
        self.calls: list[dict[str, Any]] = []
        """Frames that want an answer."""
        self.closed: tuple[int, str] | None = None
        """The code and the reason, once it was told; (1006, "") where the socket just ended."""
        self._task = asyncio.create_task(self._listen())

    def say(self, event: str, payload: Any = None) -> None:
        self.peer.writer.write(said(event, payload))

    def answer(self, call: dict[str, Any], payload: Any) -> None:
        frame = {"id": call["id"], "event": call["event"], "payload": payload}
        self.peer.writer.write(masked(TEXT, json.dumps(frame).encode()))

    async def _listen(self) -> None:
        try:
            while True:
                opcode, payload = await self._frame()
                if opcode == TEXT:
                    frame = json.loads(payload)
                    if "id" in frame:
                        self.calls.append(frame)
                        continue
                    room = frame.get("room")
                    (self.direct if room is None else self.rooms.setdefault(room, [])).append(frame.get("payload"))
                elif opcode == PING:
                    self.peer.writer.write(masked(PONG, payload))
                elif opcode == CLOSE:
                    self.closed = int.from_bytes(payload[:2]), payload[2:].decode()
                    self.peer.writer.write(masked(CLOSE, payload[:2]))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = self.closed or (1006, "")

    async def _frame(self) -> tuple[int, bytes]:
        reader = self.peer.reader
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2))
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8))
        return first & 0x0F, await reader.readexactly(size)

    def has(self, room: str, number: int) -> bool:
        """Whether it has got so many frames of a room."""
        return len(self.rooms.get(room, ())) >= number

    def got(self, *direct: Any) -> bool:
        """Whether it was sent exactly this."""
        return self.direct == list(direct)

    def got_many(self, number: int) -> bool:
        """Whether it was sent so many frames."""
        return len(self.direct) >= number

    def has_an_answer(self) -> bool:
        return bool(self.direct)

    def is_closed(self) -> bool:
        return self.closed is not None

    async def until(self, condition: Callable[[], object], what: str, deadline_s: float = 10.0) -> None:
        """Wait until what it has got is so."""
        try:
            await eventually(condition, what, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.id} has got {self}") from None

    def __repr__(self) -> str:
        return (
            f"direct {self.direct[-20:]}, rooms { {k: v[-10:] for k, v in self.rooms.items()} }, closed {self.closed}"
        )

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.peer.close()


@asynccontextmanager
async def listening(port: int, targets: dict[str, str]) -> AsyncIterator[list[Listener]]:
    """Clients with these ids, which ask for these targets; they are gone on the way out."""
    listeners: list[Listener] = []
    try:
        for connection_id, target in targets.items():
            listeners.append(Listener(await RawPeer.upgraded(port, target), connection_id))
        yield listeners
    finally:
        for listener in listeners:
            await listener.close()


class FrozenBatch:
    """Holds up a source's next batch when its sessions are frozen and their records are sent, until `go_on`."""

    def __init__(self, source: ShardRuntime) -> None:
        assert source.movement is not None
        self._movement = source.movement
        self._usual = source.movement.settle_events
        self._calls: list[Callable[[], None]] = []
        self._frozen = asyncio.Event()
        source.movement.settle_events = self._hold

    def _hold(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._frozen.set()

    async def frozen(self) -> None:
        async with asyncio.timeout(10):
            await self._frozen.wait()

    def go_on(self) -> None:
        self._movement.settle_events = self._usual
        calls, self._calls = self._calls, []
        for call in calls:
            call()
