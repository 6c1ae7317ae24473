"""`Cancellations`: ends `on_message` handlers that still run, for a session that has ended or a time that is over.

One per shard, which makes it. A handler may catch its cancellation, await something, and end as it likes. One that has not
ended 5 s later refuses: it is cancelled again and again, and named in the log; no callback of its session, or of a later one of
that id, runs beside it (contract §3). It touches no callback but `on_message`, and no handler that has not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextvars import Context
from typing import Any, Protocol

from wspulse.actors.values.timing.running_handler import Handling, RunningHandler, running_handler

__all__ = ["INSIST_S", "Cancellations"]

INSIST_S = 5.0
"""How long a handler may take over its cancellation, enough to roll a transaction back; then it is cancelled so often."""


class Named(Protocol):
    @property
    def id(self) -> str: ...


class Cancellable(Handling, Protocol):
    """An inbox, as this sees it."""

    @property
    def connection(self) -> Named: ...

    def refuses(self, item: Any, error: BaseException) -> None:
        """Its handler of `item` does not end, and counts as having raised `error`."""


class Cancellations:
    """See the module. `working` are the tasks of inboxes whose async handlers run; `tell(connection_id, event)` that one
    refuses. `clock` and `at` are the shard's, whose time stands while its loop is blocked; what is called runs in `context`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        clock: Callable[[], float],
        at: Callable[[float, Callable[[float], None]], None],
        working: dict[Any, asyncio.Task[None]],
        tell: Callable[[str, str], None],
    ) -> None:
        self.exempt: Collection[Any] = ()
        """Inboxes whose handlers end the server, and wait until it has ended: that of their sessions is none of their ends."""
        self._loop = loop
        self._context = context
        self._clock = clock
        self._at = at
        self._working = working
        self._tell = tell

    def cancel(self, inbox: Cancellable, verdict: BaseException | None = None) -> None:
        """Have the on_message that runs cancelled in the next turn, if it runs then and is not cancelled already. It counts as
        having raised `verdict`, whatever it does then; None: only as what it raises besides."""
        if verdict is None and inbox in self.exempt:
            return
        mark = running_handler(inbox)
        if mark is None or mark.is_to_be_cancelled or mark.callback != "on_message":
            return
        mark.is_to_be_cancelled = True
        mark.verdict = verdict
        # By then its task has begun, and a coroutine that never begins would warn that nobody awaited it.
        self._loop.call_soon(self._cancel, inbox, mark, context=self._context)

    def _cancel(self, inbox: Cancellable, mark: RunningHandler) -> None:
        if inbox.handling is mark:
            mark.inbox = inbox
            self._cancel_task(inbox, mark)

    def _cancel_task(self, inbox: Cancellable, mark: RunningHandler) -> None:
        mark.cancellations += 1
        self._at(self._clock() + INSIST_S, lambda _now: self._insist(mark))
        self._working[inbox].cancel()

    def outcome(self, mark: RunningHandler, raised: BaseException | None) -> BaseException | None:
        """As what the handler counts that has ended, in the running task, and has `raised` something."""
        mark.inbox = None
        if not mark.cancellations:
            return raised
        task = asyncio.current_task(self._loop)
        if task is not None:
            # The next handler of this task is not cancelled.
            for _ in range(mark.cancellations):
                task.uncancel()
        if mark.verdict is not None and not mark.has_refused:
            mark.verdict.__cause__ = raised
            return mark.verdict
        return None if isinstance(raised, asyncio.CancelledError) else raised

    def _insist(self, mark: RunningHandler) -> None:
        inbox: Cancellable | None = mark.inbox
        if inbox is None or inbox.handling is not mark:
            return
        if not mark.has_refused:
            mark.has_refused = True
            self._tell(inbox.connection.id, mark.event)
            if mark.verdict is not None:
                # Its client is not to wait for what it may never do.
                inbox.refuses(mark.item, mark.verdict)
        self._cancel_task(inbox, mark)
