"""`ShardLinks`: the supervisor's way to the shards, one link for each seat.

Created by the control plane, used by the operations; it hears which seats there are, and whose the connection ids are, as every
worker does. Every ask has the deadline of calls that cross shards (5 s); what is asked of one shard never waits for another, but
that what one client asks about one connection, or broadcasts to one room, keeps its order when others take over. What a stuck
shard has not taken is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from zlib import crc32

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.lifecycle import SUPERVISOR_SEAT, SeatGone, SeatOpened, SlotTable, TableAdopted
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import BroadcastPayload, Message, SendPayload
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.mesh.placing.owners import Elsewhere, Owners
from wspulse.actors.values.errors import ShardUnavailableError

__all__ = ["ShardLinks"]

UNTAKEN_BYTES = 160 * 1024 * 1024
"""Two of the largest requests: what may be under way to a shard that answers nothing."""

LANES = 1024
"""Of rooms whose broadcasts go by the same worker."""


class _Reference:
    """A shard at one seat, and how many bytes it was asked with, of which it has surely read so many: it reads in order."""

    def __init__(self, link: ShardLink) -> None:
        self.link = link
        self._incarnation = 0
        self._sent = 0
        self._taken = 0

    def tell(self, message: Message) -> None:
        self.link.tell(message)

    async def ask(self, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S, size: int | None = None) -> Any:
        link = self.link
        if size is None:
            size = len(message.frame) if isinstance(message, SendPayload | BroadcastPayload) else 0
        if link.incarnation != self._incarnation:
            self._incarnation, self._taken = link.incarnation, self._sent
        if self._sent - self._taken + size > UNTAKEN_BYTES:
            raise ShardUnavailableError(f"shard {link.shard} does not read its messages")
        self._sent += size
        mark = self._sent
        try:
            result = await link.ask(message, timeout_s=timeout_s)
        except ShardUnavailableError:
            raise
        except Exception:
            self._taken = max(self._taken, mark)
            raise
        self._taken = max(self._taken, mark)
        return result


class _Lane:
    """Broadcasts to rooms that go by one worker, for as long as some are under way."""

    def __init__(self) -> None:
        self.seat = -1
        self.under_way = 0
        self.entered = 0
        self.turn = asyncio.Lock()
        self.idle = asyncio.Event()


class ShardLinks:
    """See the module. `names()` are the seats of the workers that have names, by name; `is_silent(seat)` says that the worker
    there has not been heard for a while."""

    def __init__(self, workers: int, names: Callable[[], Sequence[int]], is_silent: Callable[[int], bool]) -> None:
        self.placement = Placement(workers)
        self._references: dict[int, _Reference] = {}
        self._owners = Owners(self.placement, self._references)
        self._names = names
        self._is_silent = is_silent
        self._lanes: dict[int, _Lane] = {}
        self._is_open = False

    def open(self) -> None:
        self._is_open = True
        for reference in self._references.values():
            reference.link.open()

    def close(self) -> None:
        self._is_open = False
        self._owners.close()
        for reference in self._references.values():
            reference.link.close()

    def look_elsewhere(self, elsewhere: Elsewhere) -> None:
        """Ask on other hosts about ids that nobody has here."""
        self._owners.elsewhere = elsewhere

    def hear(self, message: SeatOpened | SeatGone | SlotTable) -> None:
        """What all workers are told."""
        match message:
            case SeatOpened():
                link = ShardLink(message.seat, message.path)
                self._references[message.seat] = _Reference(link)
                if self._is_open:
                    link.open()
                self._owners.seats_changed()
            case SeatGone():
                if (gone := self._references.pop(message.seat, None)) is not None:
                    gone.link.close()
                    self._owners.seats_changed()
            case SlotTable():
                for seat in self._owners.adopt(message):
                    if (reference := self._references.get(seat)) is not None:
                        reference.tell(TableAdopted(message.version, SUPERVISOR_SEAT))

    def is_up(self, seat: int) -> bool:
        return self.incarnation(seat) != 0

    def incarnation(self, seat: int) -> int:
        """Who is asked there now; 0 for nobody. What is asked of one incarnation no other answers."""
        reference = self._references.get(seat)
        return 0 if reference is None else reference.link.incarnation

    async def ask(
        self, seat: int, message: Message, size: int | None = None, *, timeout_s: float = ASK_TIMEOUT_S
    ) -> Any:
        """Ask the shard at one seat; `size` bytes are what is large in the message, None: its frame. Raises what the shard
        raises, and ShardUnavailableError."""
        reference = self._references.get(seat)
        if reference is None:
            raise ShardUnavailableError(f"there is no process at seat {seat}")
        return await reference.ask(message, timeout_s=timeout_s, size=size)

    async def ask_owner(self, connection_id: str, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Ask whoever owns a connection id, wherever that is by now. Raises as `ask`."""
        return await self._owners.ask(connection_id, message, timeout_s=timeout_s)

    def broadcaster(self, room_id: str) -> int:
        """The seat of the worker that publishes what is broadcast to a room: always the same one while it is well."""
        return self._broadcaster(crc32(room_id.encode()) % LANES)

    def _broadcaster(self, lane: int) -> int:
        names = self._names()
        home = lane % len(names)
        order = [*names[home:], *names[:home]]
        for seat in order:
            if self.is_up(seat) and not self._is_silent(seat):
                return seat
        return next((seat for seat in order if self.is_up(seat)), order[0])

    async def broadcast(self, message: BroadcastPayload, *, timeout_s: float = ASK_TIMEOUT_S) -> None:
        """Have it published. One caller's broadcasts to one room keep their order, also where another worker takes over: what
        is under way by the one before is waited for, unless that is silent. Raises as `ask`."""
        number = crc32(message.room_id.encode()) % LANES
        lane = self._lanes.setdefault(number, _Lane())
        lane.entered += 1
        try:
            async with lane.turn:
                while (seat := self._broadcaster(number)) != lane.seat and lane.under_way:
                    if self._is_silent(lane.seat):
                        break
                    lane.idle.clear()
                    await lane.idle.wait()
                lane.seat = seat
                lane.under_way += 1
            try:
                await self.ask(seat, message, timeout_s=timeout_s)
            finally:
                lane.under_way -= 1
                if not lane.under_way:
                    lane.idle.set()
        finally:
            lane.entered -= 1
            if not lane.entered:
                del self._lanes[number]

    async def ask_all(
        self, message: Message, *, only: Iterable[int] | None = None, timeout_s: float = ASK_TIMEOUT_S
    ) -> dict[int, Any]:
        """What the shard at each seat (of `only`) answers, by seat. One that is down is left out; one that is alive but silent is
        there with its ShardUnavailableError."""
        seats = [seat for seat in (list(self._references) if only is None else only) if self.is_up(seat)]
        incarnations = {seat: self.incarnation(seat) for seat in seats}
        answers = await asyncio.gather(
            *(self.ask(seat, message, timeout_s=timeout_s) for seat in seats), return_exceptions=True
        )
        found: dict[int, Any] = {}
        for seat, answer in zip(seats, answers, strict=True):
            if isinstance(answer, ShardUnavailableError):
                if self.incarnation(seat) == incarnations[seat]:
                    found[seat] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[seat] = answer
        return found
