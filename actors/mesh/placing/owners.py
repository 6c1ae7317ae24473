"""`Owners`: asks whoever owns a connection id, wherever that is by now.

One per process that asks: a worker's runtime, the supervisor's control plane. Sessions move from process to process: an owner
that has them no more names the seat that has (SessionMovedError), and that is asked with what is left of the time. What this
process asks about one id keeps the order of the calls all the while: each ask goes behind its predecessor, wherever that has
gone; and when a slot changes hands, what is new waits until the former owner has answered what was sent to it. It carries nothing
itself: the references do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextvars import copy_context
from time import monotonic
from typing import Any, Protocol

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S, ActorRef
from wspulse.actors.mesh.lifecycle import SlotTable
from wspulse.actors.mesh.message import CallConnection, Message
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.values.errors import (
    ConnectionNotFoundError,
    SessionMovedError,
    ShardUnavailableError,
    WspulseError,
)

__all__ = ["Askable", "Elsewhere", "Owners"]

_QUICK_HOPS = 4
_HOP_S = 0.01
"""How many seats an ask is sent on to at once, and how long it waits before each further one: two processes that name each other,
since one of them has not adopted a table yet, are not to keep a loop busy."""


class Askable(Protocol):
    """Who is asked about an id."""

    async def ask(self, message: Message, *, timeout_s: float | None) -> Any: ...


class Elsewhere(Protocol):
    """Who knows of ids that no process of this host has, where there are several hosts."""

    async def way_to(self, connection_id: str, tried: Sequence[Askable | None]) -> Askable | None:
        """Who is to be asked next: another host; None: the owner here, which has it by now. `tried` were asked in this order, and
        did not have it. Raises ConnectionNotFoundError."""


class _Ask:
    """One that is under way; those of one id are chained in the order of the calls."""

    __slots__ = ("after", "before", "holds", "is_asking_afar", "seat")

    def __init__(self, before: _Ask | None) -> None:
        self.before = before
        self.after: _Ask | None = None
        self.seat: int | Askable | None = None
        """Where it was sent, to a seat here or to another host; None while it waits."""
        self.is_asking_afar = False
        """Whether another host is asked, of which nothing else is asked about this id meanwhile."""
        self.holds = False
        """Whether its slot settles only when this is answered, or has come to the new owner."""


class Owners:
    """See the module. `refs` are the actors by seat, and may grow and shrink; `seats_changed` says that they have."""

    def __init__(self, placement: Placement, refs: Mapping[int, ActorRef]) -> None:
        self.placement = placement
        self._refs = refs
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """In which tells go on: that of a handler, which tells, would be kept."""
        self._last: dict[str, _Ask] = {}
        """The youngest ask under way of each id."""
        self.under_way: Collection[str] = self._last.keys()
        """The ids about which something is asked: what is done about one in this process goes behind that."""
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        """The asks that wait for an earlier ask of the same id."""
        self._settling: dict[int, int] = {}
        """How many asks each slot waits for that has changed hands."""
        self._for_seats: list[asyncio.Future[None]] = []
        self._tells: set[asyncio.Task[None]] = set()
        self.elsewhere: Elsewhere | None = None

    def adopt(self, table: SlotTable) -> set[int]:
        """Go by this table. Returns the seats that lose slots: they are to be told TableAdopted on the way on which they are
        asked, and of those slots nothing is asked there behind that."""
        placement = self.placement
        changed = placement.adopt(table.version, table.workers, table.seats)
        if not changed:
            return set()
        settling: dict[int, int] = {}
        for connection_id, last in self._last.items():
            slot = placement.slot_of(connection_id)
            if slot not in changed and slot not in self._settling:
                continue
            owner = placement.owner_of_slot(slot)
            ask: _Ask | None = last
            while ask is not None:
                # One that waited for a table before this one is asked anew, be it at the seat where it was.
                if ask.holds or ask.seat != owner:
                    ask.holds = True
                    settling[slot] = settling.get(slot, 0) + 1
                ask = ask.before
        for slot in self._settling.keys() - settling.keys():
            placement.settle(slot)
        self._settling = settling
        placement.unsettle(settling)
        return set(changed.values())

    def seats_changed(self) -> None:
        """There is a reference more, or one less."""
        waiting, self._for_seats = self._for_seats, []
        _wake(waiting)

    def close(self) -> None:
        """Give up what was told and is still under way."""
        for task in self._tells:
            task.cancel()

    async def ask(self, connection_id: str, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Ask the owner of an id. Raises what it raises but SessionMovedError, and ShardUnavailableError.

        Without a deadline it keeps no order with others, and no slot waits for it: it asks when something ends.
        """
        if timeout_s is None:
            return await self._ask_without_order(connection_id, message)
        ask = self._enter(connection_id)
        return await self._carry(ask, connection_id, message, monotonic() + timeout_s)

    async def ask_at(self, seat: int, message: Message, *, timeout_s: float = ASK_TIMEOUT_S) -> Any:
        """Ask the process at a seat, of which we may not have been told yet. Raises what it raises, and ShardUnavailableError."""
        due = monotonic() + timeout_s
        while (ref := self._refs.get(seat)) is None:
            await self._wait_for_seat(seat, due)
        return await ref.ask(message, timeout_s=due - monotonic())

    def tell(self, connection_id: str, message: Message) -> None:
        """Have the owner of an id do something, in order with what it is asked, from sync code; what becomes of it nobody
        hears."""
        ask = self._enter(connection_id)
        telling = self._tell(ask, connection_id, message, monotonic() + ASK_TIMEOUT_S)
        task = self._loop.create_task(telling, context=self._context)
        self._tells.add(task)
        task.add_done_callback(self._tells.discard, context=self._context)

    async def _tell(self, ask: _Ask, connection_id: str, message: Message, due: float) -> None:
        try:
            await self._carry(ask, connection_id, message, due)
        except WspulseError:
            pass

    async def _carry(self, ask: _Ask, connection_id: str, message: Message, due: float) -> Any:
        placement = self.placement
        named: int | Askable | None = None
        tried: list[Askable | None] = []
        version = placement.version
        hops = 0
        try:
            while True:
                before = ask.before
                if placement.version != version:
                    # Who was named before this table may have been told since that nobody asks there any more.
                    named, version = None, placement.version
                seat: int | Askable
                if before is None:
                    seat = placement.final_owner(connection_id) if named is None else named
                elif before.holds or before.seat is None or before.seat == ask.seat or before.is_asking_afar:
                    await self._wait_for_turn(ask, connection_id, due)
                    continue
                else:
                    seat = before.seat
                ref: Askable | None = self._refs.get(seat) if isinstance(seat, int) else seat
                if ref is None:
                    assert isinstance(seat, int)
                    # It is nowhere for now: what is asked later waits behind it, and does not go to where it was.
                    ask.seat = None
                    if seat == named:
                        # It may have died before it had any session: whoever has sent us there decides again.
                        named = None
                        try:
                            await self._wait_for_seat(seat, min(due, monotonic() + _HOP_S))
                        except ShardUnavailableError:
                            if monotonic() >= due:
                                raise
                    else:
                        await self._wait_for_seat(seat, due)
                    continue
                left_s = due - monotonic()
                if left_s <= 0:
                    # A reference within the process would do it all the same.
                    raise _late(seat)
                # That host may find nobody, and then another is asked; what was asked behind it would have been done first. Who
                # waits for an answer of the client keeps nobody waiting, and is asked again only where nobody has come behind it.
                ask.is_asking_afar = not isinstance(seat, int) and not isinstance(message, CallConnection)
                self._place(ask, connection_id, seat)
                try:
                    return await ref.ask(message, timeout_s=left_s)
                except SessionMovedError as moved:
                    named = moved.seat
                    # Later asks must not find out earlier that the session is there by now.
                    ask.seat = None
                except ConnectionNotFoundError:
                    if self.elsewhere is None or (
                        isinstance(message, CallConnection) and ask.after is not None and tried
                    ):
                        raise
                    tried.append(None if isinstance(seat, int) else seat)
                    ask.seat = None
                    named = await self.elsewhere.way_to(connection_id, tried)
                hops += 1
                if hops > _QUICK_HOPS:
                    await asyncio.sleep(_HOP_S)
        finally:
            self._leave(ask, connection_id)

    async def _ask_without_order(self, connection_id: str, message: Message) -> Any:
        seat: int | Askable = self.placement.final_owner(connection_id)
        tried: list[Askable | None] = []
        hops = 0
        while True:
            ref: Askable | None = self._refs.get(seat) if isinstance(seat, int) else seat
            if ref is None:
                assert isinstance(seat, int)
                # Nobody may ever be there again, and it has no deadline of its own.
                await self._wait_for_seat(seat, monotonic() + ASK_TIMEOUT_S)
                continue
            try:
                return await ref.ask(message, timeout_s=None)
            except SessionMovedError as moved:
                seat = moved.seat
            except ConnectionNotFoundError:
                if self.elsewhere is None:
                    raise
                # It has all the time that a session takes to go from host to host, however often.
                tried = [*tried[-1:], None if isinstance(seat, int) else seat]
                way = await self.elsewhere.way_to(connection_id, tried)
                seat = self.placement.final_owner(connection_id) if way is None else way
            hops += 1
            if hops > _QUICK_HOPS:
                await asyncio.sleep(_HOP_S)

    # The chain of an id.

    def _enter(self, connection_id: str) -> _Ask:
        last = self._last.get(connection_id)
        ask = self._last[connection_id] = _Ask(last)
        if last is not None:
            last.after = ask
        return ask

    def _place(self, ask: _Ask, connection_id: str, seat: int | Askable) -> None:
        """It is sent there in this very step."""
        ask.seat = seat
        if ask.holds and seat == self.placement.final_owner(connection_id):
            self._holds_no_more(ask, connection_id)
        self._let_go_on(connection_id)

    def _leave(self, ask: _Ask, connection_id: str) -> None:
        before, after = ask.before, ask.after
        if before is not None:
            before.after = after
        if after is not None:
            after.before = before
        elif before is not None:
            self._last[connection_id] = before
        else:
            del self._last[connection_id]
        if ask.holds:
            self._holds_no_more(ask, connection_id)
        self._let_go_on(connection_id)

    def _holds_no_more(self, ask: _Ask, connection_id: str) -> None:
        ask.holds = False
        slot = self.placement.slot_of(connection_id)
        left = self._settling[slot] = self._settling[slot] - 1
        if not left:
            del self._settling[slot]
            self.placement.settle(slot)

    def _let_go_on(self, connection_id: str) -> None:
        if self._waiting and (waiting := self._waiting.pop(connection_id, None)) is not None:
            _wake(waiting)

    async def _wait_for_turn(self, ask: _Ask, connection_id: str, due: float) -> None:
        """Until something has changed for an earlier ask of this id. Who waits is woken in the order of the calls, so that all of
        them go on within one turn."""
        if ask.seat is None and not ask.holds:
            slot = self.placement.slot_of(connection_id)
            if slot in self._settling:
                # The slot would settle before it, and what needs not ask us would overtake it.
                ask.holds = True
                self._settling[slot] += 1
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(connection_id, []).append(future)
        await _until(future, due, "an earlier request for this connection id has not been answered")

    async def _wait_for_seat(self, seat: int, due: float) -> None:
        """Until the references have changed: somebody was told of a seat before us."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._for_seats.append(future)
        try:
            await _until(future, due, f"there is no process at seat {seat}")
        finally:
            if future in self._for_seats:
                self._for_seats.remove(future)


async def _until(future: asyncio.Future[None], due: float, reason: str) -> None:
    try:
        async with asyncio.timeout(due - monotonic()):
            await future
    except TimeoutError:
        raise ShardUnavailableError(reason) from None


def _late(seat: int | Askable) -> ShardUnavailableError:
    who = f"the process at seat {seat}" if isinstance(seat, int) else "another host"
    return ShardUnavailableError(f"{who} did not answer in time")


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
