"""A world of processes between which sessions move, without processes: who has what, what is asked of whom, and how late it
comes.

`World` plays the owners as they behave: an id that is between two processes is held, one that has left is answered with where it
went.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

from wspulse.actors.mesh.actor import LocalRef
from wspulse.actors.mesh.lifecycle import SlotTable, TableAdopted
from wspulse.actors.mesh.message import Message, SendFrame
from wspulse.actors.mesh.placement import SLOTS, Placement
from wspulse.actors.mesh.placing.held import held
from wspulse.actors.mesh.placing.owners import Owners
from wspulse.actors.values.errors import InTransitError, SessionMovedError

__all__ = ["Remote", "World"]

_ANSWER_TURNS = (0, 0, 1, 2, 150)
"""How late answers come: some only when the next plan is over."""

HERE = 0
"""The seat of the process that asks."""


class Remote:
    """An actor of another process: what it is sent arrives in order, and later; so do its answers."""

    def __init__(self, receive: Callable[[Message], Any], draw: Random) -> None:
        self._receive = receive
        self._draw = draw
        self._inbound: asyncio.Queue[tuple[Message, asyncio.Future[Any] | None]] = asyncio.Queue()
        self._task = asyncio.create_task(self._serve())
        self._answering: set[asyncio.Task[None]] = set()

    def tell(self, message: Message) -> None:
        self._inbound.put_nowait((message, None))

    async def ask(self, message: Message, *, timeout_s: float | None = None) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._inbound.put_nowait((message, future))
        return await future

    async def _serve(self) -> None:
        while True:
            message, future = await self._inbound.get()
            for _ in range(self._draw.randrange(4)):
                await asyncio.sleep(0)
            try:
                result = self._receive(message)
            except InTransitError as in_transit:
                result = held(message, self._receive, in_transit, asyncio.get_running_loop())
            except (SessionMovedError, AssertionError) as error:
                result = error
            if future is not None:
                # What was held is answered by the loop, and so may be overtaken by what came behind it.
                answering = asyncio.create_task(self._answer(result, future, self._draw.choice(_ANSWER_TURNS)))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)

    async def _answer(self, result: Any, future: asyncio.Future[Any], turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        if isinstance(result, asyncio.Future):
            try:
                result = await result
            except SessionMovedError as error:
                result = error
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class World:
    """Four seats, of which the first is the asker's own process."""

    def __init__(self, draw: Random, names: list[str]) -> None:
        self.draw = draw
        self.names = names
        placement = Placement(4)
        self.where = {name: placement.shard_of(name) for name in names}
        self.known = [dict[str, int]() for _ in range(4)]
        """Of each seat: where ids went that it had."""
        self.held: dict[str, list[Callable[[], None]]] = {}
        """What waits for ids that are between two seats."""
        self.got: defaultdict[str, list[int]] = defaultdict(list)
        self.asked: defaultdict[str, int] = defaultdict(int)
        self.over: list[set[int]] = [set() for _ in range(4)]
        """Of each seat: the slots that nobody asks it about any more."""
        self.refs: dict[int, Any] = {HERE: LocalRef(self.receiver(HERE))}
        for seat in (1, 2, 3):
            self.refs[seat] = Remote(self.receiver(seat), draw)
        self.owners = Owners(placement, self.refs)
        self.version = 0
        self.was_told = asyncio.Event()
        self.losing: set[int] = set()
        """The slots that change hands."""

    def receiver(self, seat: int) -> Callable[[Message], Any]:
        return lambda message: self.receive(seat, message)

    def receive(self, seat: int, message: Message) -> None:
        if isinstance(message, TableAdopted):
            self.over[seat] |= self.losing
            self.was_told.set()
            return
        assert isinstance(message, SendFrame)
        name = message.connection_id
        slot = self.owners.placement.slot_of(name)
        assert slot not in self.over[seat], "asked behind the word that it would not be"
        if self.where[name] != seat:
            assert name in self.known[seat], f"seat {seat} is asked about {name}, of which it never heard"
            raise SessionMovedError(self.known[seat][name])
        if name in self.held:
            raise InTransitError(self.held[name].append)
        self.got[name].append(int.from_bytes(message.wire))

    async def send(self, name: str) -> None:
        """As an application's call, from its first step on: at once where the owner is here."""
        number = self.asked[name]
        self.asked[name] += 1
        message = SendFrame(name, number.to_bytes(4))
        if self.owners.placement.shard_of(name) == HERE:
            try:
                self.receive(HERE, message)
                return
            except (InTransitError, SessionMovedError):
                pass
        await self.owners.ask(name, message)

    async def turns(self, most: int) -> None:
        for _ in range(self.draw.randrange(most)):
            await asyncio.sleep(0)

    async def move(self, source: int, target: int) -> None:
        """All that a seat has to another one, session by session, some only at the second try; then the table says so."""
        self.over[target].clear()
        for name in [name for name in self.names if self.where[name] == source]:
            await self.turns(6)
            for is_taken_back in [True] * self.draw.randrange(2) + [False]:
                self.held[name] = []
                await self.turns(10)
                waiting = self.held.pop(name)
                if not is_taken_back:
                    self.known[target].pop(name, None)
                    self.known[source][name] = target
                    self.where[name] = target
                for call in waiting:
                    call()
                await self.turns(3)
        await self.turns(6)
        await self.flip(source, target)

    async def flip(self, source: int, target: int) -> None:
        placement = self.owners.placement
        self.version += 1
        seats = [placement.owner_of_slot(slot) for slot in range(SLOTS)]
        moved = {slot for slot, seat in enumerate(seats) if seat == source}
        if not moved:
            return
        table = b"".join((target if seat == source else seat).to_bytes(2, "little") for seat in seats)
        losers = self.owners.adopt(SlotTable(self.version, 4, table))
        assert losers == {source}
        self.losing = moved
        self.was_told.clear()
        self.refs[source].tell(TableAdopted(self.version, HERE))
        # The plan is over when the source was told that.
        async with asyncio.timeout(10):
            await self.was_told.wait()

    async def stop(self) -> None:
        for seat in (1, 2, 3):
            await self.refs[seat].stop()
