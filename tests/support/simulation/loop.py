"""`SimLoop`: an event loop without sockets and without waiting, whose time is a number that the simulation sets.

One per simulated history. It keeps what asyncio promises (callbacks of `call_soon` run in the order of the calls, those
that a turn adds run in the next turn, contexts are honoured) and leaves open what asyncio leaves open: timers of the same
moment run in an order drawn from the seed. What the outside does (bytes, ends of sockets, the bus) is called by the
simulation between two turns, where a real loop would poll.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.events import _set_running_loop
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVarTuple

__all__ = ["SimLoop"]

_Args = TypeVarTuple("_Args")

_new_context = contextvars.copy_context


class _Handle(asyncio.Handle):
    """A call that waits. asyncio's own constructor takes four times as long."""

    __slots__ = ()

    _callback: Callable[..., object]
    _args: tuple[Any, ...]
    _cancelled: bool
    _context: contextvars.Context

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = _new_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def __repr__(self) -> str:
        return f"<call of {self._callback!r}{self._args!r}>"


class _TimerHandle(asyncio.TimerHandle):
    __slots__ = ()

    _callback: Callable[..., object]
    _args: tuple[Any, ...]
    _cancelled: bool
    _context: contextvars.Context
    _when: float

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = _new_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self._when

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<call of {self._callback!r}{self._args!r} at {self._when}>"


class SimLoop(asyncio.AbstractEventLoop):
    """See the module. Entered as a context manager, it is the running loop until it is left."""

    def __init__(self, seed: int, now: float = 1000.0) -> None:
        self.now = now
        self.turns = 0
        """How many turns have begun."""
        self.in_timers = False
        """Whether a timer runs now."""
        self.reports: list[dict[str, Any]] = []
        """What a real loop would have logged: exceptions that nobody took."""
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, float, int, _TimerHandle]] = []
        self._drawn = Random(seed).random
        self._serial = 0

    def __enter__(self) -> Self:
        _set_running_loop(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _set_running_loop(None)

    # Turning.

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done before the next timer or event from outside."""
        return not self._ready and self.next_timer() > self.now

    def next_timer(self) -> float:
        """When the next timer is due; infinity for never."""
        timers = self._timers
        while timers:
            if not timers[0][3]._cancelled:
                return timers[0][0]
            heappop(timers)
        return float("inf")

    def has_one_timer_now(self) -> bool:
        """Whether no second timer is due."""
        timers = self._timers
        return not self._ready and not any(timer[0] <= self.now for timer in timers[1:3])

    def turn(self) -> None:
        """One turn: the timers that are due, then the calls that wait; what those add waits for the next turn."""
        self.turns += 1
        timers = self._timers
        if timers and timers[0][0] <= self.now:
            self._run_timers()
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                try:
                    handle._context.run(handle._callback, *handle._args)
                except BaseException as error:
                    self._report(handle, error)

    def _run_timers(self) -> None:
        timers = self._timers
        due = []
        while timers and timers[0][0] <= self.now:
            due.append(heappop(timers)[3])
        self.in_timers = True
        for handle in due:
            if not handle._cancelled:
                try:
                    handle._context.run(handle._callback, *handle._args)
                except BaseException as error:
                    self._report(handle, error)
        self.in_timers = False

    def run_until_idle(self, most_turns: int = 200) -> bool:
        """Turn until nothing waits for now. False when that did not come about."""
        for _ in range(most_turns):
            if self.idle:
                return True
            self.turn()
        return self.idle

    def pass_time(self, seconds: float) -> None:
        """Turn for so long: each timer is called at its time."""
        self.run_until_idle()
        until = self.now + seconds
        while (due := self.next_timer()) <= until:
            self.now = max(due, self.now)
            self.run_until_idle()
        self.now = until

    def _report(self, handle: asyncio.Handle, error: BaseException) -> None:
        self.reports.append({"message": f"{handle!r} raised", "exception": error})

    # What asyncio, the shard and handlers ask a loop for.

    def call_soon(
        self, callback: Callable[[*_Args], object], *args: *_Args, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Args], object],
        *args: *_Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Args], object],
        *args: *_Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = _TimerHandle(when, callback, args, context)
        self._serial += 1
        heappush(self._timers, (when, self._drawn(), self._serial, handle))
        return handle

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        # An unnamed task would take its name from a counter of the process.
        return asyncio.Task(coro, loop=self, name=name or "task", context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.reports.append(context)

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
