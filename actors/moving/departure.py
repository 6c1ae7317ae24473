"""`Departure`: the source's end of a move: takes the sessions of some slots out of this process, batch by batch, until none is
left.

Made by `Moving` for each plan that the supervisor orders. It brings sessions to rest, has a batch of them cut out of the bus's
order, sends it, and commits it when the target has built it; until then it can take it back. What cannot move is closed with
1012. It starts and ends no process, and knows of no table of slots but its own targets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Protocol

from wspulse.actors.mesh.placing.moves import (
    BatchBuilt,
    BatchComing,
    BatchCommitted,
    BatchJoined,
    BatchSent,
    MoveAnswer,
    MoveBegins,
)
from wspulse.actors.moving.arrival import CutWatch, codec_name
from wspulse.actors.moving.batch import Batch, MovedSession
from wspulse.actors.moving.drain import Drain
from wspulse.actors.moving.resting import Rest, Resting
from wspulse.actors.moving.tally import MoveTally
from wspulse.actors.moving.waiting import Waiting
from wspulse.actors.moving.way import MoveFailedError, Way, WayBrokenError, WaySilentError
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.record import FORMAT
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["Departure", "DepartureEvents"]

_FREEZE_S = 2.0
"""How long a batch may be frozen, in all, before it is taken back."""

_FREEZE_BYTES = 16 * 1024 * 1024
"""What its rooms may get meanwhile."""

_LOOK_S = 0.002
"""Between two looks at sessions that have not come to rest yet."""

_SELDOM_S = 0.02
"""Where none is about to come to rest: those that cannot move are awaited, or newcomers."""

_ANSWER_S = 2.0
_AGAIN_S = 0.1
"""After a batch that was taken back."""

_PROGRESS_S = 0.25

_logger = logging.getLogger("wspulse.moving")


class CuttingBus(CutWatch, Protocol):
    def cut(self, number: int) -> None:
        """Publish a cut of ours, behind all that we have published or queued."""


class DepartureEvents(Rest, Protocol):
    """What a departure tells whoever made it."""

    def moved(self, sessions: list[MovedSession], seat: int) -> None:
        """They are that seat's, from this step on."""

    def progress(self) -> None: ...

    async def events_settled(self) -> None:
        """What was told of sessions until now is told before what the target tells."""


class Departure:
    """See the module. `targets` has the seat that each slot goes to; `slot_of(connection_id)`, `path_of(seat)` and
    `is_up(seat)` are the mesh's."""

    def __init__(
        self,
        plan: int,
        targets: dict[int, int],
        *,
        numbers: Iterator[int],
        seat: int,
        shard: Shard,
        bus: CuttingBus,
        slot_of: Callable[[str], int],
        path_of: Callable[[int], str],
        is_up: Callable[[int], bool],
        events: DepartureEvents,
        handover_timeout_s: float,
        drain_spread_s: float,
        leaves: bool,
        drain: bool,
    ) -> None:
        self.plan = plan
        self.waiting = Waiting()
        self.tally = MoveTally(shard.metrics)
        self._numbers = numbers
        """Of batches, and so of cuts: one of an earlier plan may be on its way still."""
        self._targets = targets
        self._seat = seat
        self._shard = shard
        self._bus = bus
        self._slot_of = slot_of
        self._path_of = path_of
        self._is_up = is_up
        self._events = events
        self._timeout_s = handover_timeout_s
        self._is_drain = drain
        """Whether all are closed, and none moved."""
        self._drain = Drain(shard, spread_s=drain_spread_s, restarts=True)
        self._ways: dict[int, Way] = {}
        self._incarnations: dict[int, int] = {}
        """Of the targets, since they answered first."""
        self._only_seat = self.seats[0] if leaves and len(self.seats) == 1 else None
        """Where all go, if they do: then nobody's slot need be known."""
        self._awaited: asyncio.Future[None] | None = None
        """What the bus is to say next."""
        self._resting = Resting(shard, self._going, self._goes, events)
        self._batch: Batch | None = None
        self.is_over = False
        """Whether nobody is left, and nothing of these slots is this process's to decide about."""
        self._stopping = False
        self._log = LogLimit()
        self._told_at = 0.0

    def end(self) -> None:
        """All know by now whose the slots are: let the targets go by the table alone."""
        for way in self._ways.values():
            way.end(self.plan)

    # What others ask.

    def seat_of(self, connection_id: str) -> int | None:
        """Where an id of ours goes; None: it stays."""
        return self._targets.get(self._slot_of(connection_id)) if self._only_seat is None else self._only_seat

    def decider_of(self, connection_id: str) -> int | None:
        """The seat that decides about an id of ours that is not here, if it knows that it does; None: this process decides."""
        seat = self.seat_of(connection_id)
        return seat if seat in self._incarnations else None

    @property
    def seats(self) -> list[int]:
        return sorted(set(self._targets.values()))

    def frozen(self, connection_id: str) -> Session | None:
        return None if self._batch is None else self._batch.frozen(connection_id)

    def between(self, room_id: str | None) -> list[Session]:
        return [] if self._batch is None else self._batch.between(room_id)

    @property
    def left(self) -> int:
        """How many sessions have yet to go."""
        return len(self._going()) + len(self.waiting)

    @property
    def is_stopping(self) -> bool:
        """Whether the server ends: what has moved is where it is until then."""
        return self._stopping

    def stop(self) -> None:
        """Commit nothing more: the server ends."""
        self._stopping = True
        awaited = self._awaited
        if awaited is not None and not awaited.done():
            awaited.set_exception(WayBrokenError("the server is shutting down"))
            awaited.exception()  # perhaps nobody waits
        for way in self._ways.values():
            way.stop()

    # The way of all.

    async def run(self) -> None:
        """Until no session of the slots is here. Raises MoveFailedError."""
        self._shard.halting = self._resting.halting
        watched = self._awaited = self._shard.loop.create_future()
        self._bus.watch_cuts(self._shard.incarnation, self._cut, lambda: _done(watched))
        try:
            try:
                async with asyncio.timeout(self._timeout_s + _ANSWER_S):
                    await watched
            except TimeoutError:
                raise MoveFailedError("the bus does not answer") from None
            except WayBrokenError as error:
                raise MoveFailedError(str(error)) from None
            await self._run()
        except BaseException:
            self._resting.return_all()
            raise
        finally:
            self._bus.unwatch_cuts(self._shard.incarnation)
            if self._shard.halting is self._resting.halting:
                self._shard.halting = None

    async def _run(self) -> None:
        fruitless_since: float | None = None
        failed_at = 0.0
        while True:
            if self._stopping:
                raise MoveFailedError("the server is shutting down")
            try:
                ways = {}
                for seat in self.seats:
                    ways[seat] = await self._way(seat)
                if self._is_drain:
                    self._close_all()
                else:
                    self._resting.bring_to_rest()
                for session in self._resting.late(self._timeout_s):
                    self._close(session)
                batches = self._resting.batches(self.seat_of)
                if not batches and not self.waiting and not self._resting.is_anybody_left(self._timeout_s):
                    self.is_over = True
                    return
                for seat, sessions in batches.items():
                    await self._move(ways[seat], sessions)
                    fruitless_since = None
                    self._progress()
            except WayBrokenError as error:
                now = monotonic()
                if fruitless_since is None or now > failed_at + self._timeout_s + _ANSWER_S:
                    fruitless_since = now
                if now > fruitless_since + self._timeout_s:
                    raise MoveFailedError(str(error)) from None
                if not await self._is_there(seat):
                    raise MoveFailedError(str(error)) from None
                failed_at = monotonic()
                _logger.warning("sessions could not move; trying again", extra={"seat": seat, "reason": str(error)})
                await asyncio.sleep(_AGAIN_S)
                continue
            if not batches:
                self._progress()
                await asyncio.sleep(_LOOK_S if len(self._resting) else _SELDOM_S)

    def _going(self) -> list[Session]:
        """All sessions that are to go and are still here."""
        sessions = list(self._shard.sessions.values())
        if self._only_seat is not None:
            return sessions
        targets, slot_of = self._targets, self._slot_of
        return [session for session in sessions if slot_of(session.id) in targets]

    def _goes(self, connection_id: str) -> bool:
        return self.seat_of(connection_id) is not None

    def _close_all(self) -> None:
        for session in self._resting.next_round():
            self.tally.closed()
            self._drain.close(session)

    def _close(self, session: Session) -> None:
        """It cannot move."""
        self.tally.closed()
        if (not_logged := self._log.admit(monotonic())) is not None:
            why = (
                self._resting.halting.what_runs(session) or "the new process encodes frames differently, or refuses it"
            )
            fields = {"connection_id": session.id, "reason": why, "not_logged": not_logged}
            _logger.warning("a session cannot move and is closed", extra=fields)
        self._resting.give_up(session)
        self._drain.close(session)

    # A batch.

    async def _way(self, seat: int) -> Way:
        way = self._ways.get(seat)
        if way is None or not way.is_open:
            try:
                path = self._path_of(seat)
            except KeyError:
                raise WayBrokenError(f"there is no process at seat {seat}") from None
            way = self._ways[seat] = Way(seat, path)
            slots = [slot for slot, target in self._targets.items() if target == seat]
            begins = MoveBegins(self.plan, self._seat, self._shard.incarnation, FORMAT, slots)
            try:
                await way.begin(begins, _ANSWER_S)
            except WayBrokenError:
                way.close()
                raise
            self._incarnations.setdefault(seat, way.incarnation)
        return way

    async def _is_there(self, seat: int) -> bool:
        """Whether the process that has failed us is there, and would take sessions, if it only were not so slow."""
        if self._stopping:
            return False
        try:
            way = await self._way(seat)
        except WaySilentError:
            # The application's callbacks may hold its loop up. Where it has ended its link has, too.
            return self._is_up(seat)
        except WayBrokenError:
            return False
        return way.incarnation == self._incarnations[seat]

    async def _move(self, way: Way, sessions: list[Session]) -> None:
        """Raises WayBrokenError, when all is as it was before."""
        if way.codec != codec_name(self._shard):
            for session in sessions:
                self._close(session)
            return
        frozen = self._awaited = self._shard.loop.create_future()
        batch = self._batch = Batch(
            next(self._numbers),
            self._shard,
            sessions,
            self.waiting,
            self._resting.who_may_leave,
            lambda: _done(frozen),
        )
        try:
            async with asyncio.timeout(_ANSWER_S):
                await way.ask(BatchComing(batch.number, batch.rooms, batch.members), BatchJoined, _ANSWER_S)
                self._bus.cut(batch.number)
                await frozen
            await self._send(way, batch)
        except BaseException as error:
            # Whatever the target has of it, it forgets.
            way.close()
            while batch.is_leaving:  # noqa: ASYNC110 - a turn or two
                await asyncio.sleep(0)
            batch.take_back(self._resting.came_back)
            if isinstance(error, TimeoutError):
                raise WayBrokenError("the bus or the new process does not answer") from None
            raise
        finally:
            while batch.is_landing:  # noqa: ASYNC110 - a turn
                await asyncio.sleep(0)
            self._batch = None

    async def _send(self, way: Way, batch: Batch) -> None:
        answer = way.expect()
        envelopes = batch.envelopes()
        for envelope, fd in envelopes:
            way.tell(envelope, fd)
        way.tell(BatchSent(batch.number, len(envelopes)))
        way.flush()
        settled = asyncio.ensure_future(self._events.events_settled())
        try:
            built = await self._built(answer, settled, batch)
        finally:
            settled.cancel()
        if self._stopping or not way.is_open:
            raise WayBrokenError("the server is shutting down" if self._stopping else "the new process is gone")
        # From here on nothing waits, and nothing is taken back.
        batch.take_back(self._close_refused, [*built.refused, *batch.unsaid])
        way.tell(BatchCommitted(batch.number, batch.late()))
        way.flush()
        moved = batch.let_go()
        self.tally.note(moved)
        for each in moved:
            self._resting.has_left(each.session, each.inbox)
        self._events.moved(moved, way.seat)
        for each in moved:
            self.waiting.remove(each.record.connection_id)
        await way.flushed()

    async def _built(
        self, answer: asyncio.Future[MoveAnswer], settled: asyncio.Future[None], batch: Batch
    ) -> BatchBuilt:
        """Raises WayBrokenError where it takes too long, or too much is kept meanwhile."""
        until = monotonic() + _FREEZE_S
        pending: set[asyncio.Future[Any]] = {answer, settled}
        while pending:
            done, pending = await asyncio.wait(pending, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
            if pending and (self._stopping or monotonic() > until or batch.kept_bytes() > _FREEZE_BYTES):
                raise WayBrokenError("the new process takes too long")
        built = answer.result()
        if not isinstance(built, BatchBuilt) or built.batch != batch.number:
            raise WayBrokenError("the new process gave an unexpected answer")
        return built

    def _cut(self, number: int) -> None:
        if self._batch is not None and self._batch.number == number:
            self._batch.freeze()

    def _close_refused(self, session: Session) -> None:
        self._resting.came_back(session)
        self._close(session)

    def _progress(self) -> None:
        now = monotonic()
        if now > self._told_at + _PROGRESS_S:
            self._told_at = now
            self._events.progress()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
