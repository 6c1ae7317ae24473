"""What is known of the callbacks that run in a simulated history: since when, and whether they are to be cancelled.

Part of the `Model` (contract §3: `handler_timeout`, `cancel_on_disconnect`). A handler is cancelled when it runs too long or
when nobody waits for it, soon, and for no other reason; one that refuses is cancelled again, and nothing else runs beside it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.frames import SessionModel
from tests.support.simulation.model.patience import EPSILON_S, PatienceModel
from wspulse.actors.sessions.inbox import Inbox, calling_inbox
from wspulse.actors.values.timing.running_handler import RunningHandler

if TYPE_CHECKING:
    from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["HandlerModel", "Run"]

INSIST_S = 5.0
"""doc/howto/handlers.md: how long a cancelled handler has."""

_SLACK_S = 0.05


class Run:
    """One call of a callback."""

    __slots__ = (
        "asked_at",
        "begun_at",
        "cancelled_at",
        "due_at",
        "has_refused",
        "inbox",
        "is_async",
        "is_late",
        "kind",
        "session",
        "task",
    )

    def __init__(self, session: SessionModel, kind: str, now: float) -> None:
        self.session = session
        self.kind = kind
        self.begun_at = now
        self.inbox: Inbox = session.real.inbox
        self.is_async = False
        self.task: asyncio.Task[object] | None = None
        """In which it runs, once it has begun."""
        self.due_at: float | None = None
        """Since when nobody waits for it."""
        self.asked_at = 0.0
        """When, on the shard's clock, it was cancelled last, or a little earlier: it may see that some time later."""
        self.cancelled_at: float | None = None
        """When, on the shard's clock, it saw that first."""
        self.has_refused = False
        """Whether it was cancelled again."""
        self.is_late = False
        """Whether it was cancelled for the time that it takes, which counts as raising."""


class HandlerModel(PatienceModel):
    """See the module."""

    def __init__(self, loop: SimLoop, options: ServerOptions) -> None:
        super().__init__(loop, options)
        self.raises = 0
        self.jumped_at = 0.0
        """When the time last jumped over timers: whoever looks then has looked once only."""
        self._active: dict[str, Run] = {}

    def enter(self, model: SessionModel, kind: str) -> Run:
        other = self._active.get(self.key_of(model))
        if other is not None:
            self.fail(f"{model}: {kind} while {other.kind} of {other.session} runs")
        model.active = kind
        self._active[self.key_of(model)] = run = Run(model, kind, self.loop.now)
        return run

    def callback_ends(self, run: Run) -> None:
        model = run.session
        if self.trace is not None:
            self.note(f"{model} {run.kind} ends")
        if self._active.get(self.key_of(model)) is run:
            model.active = None
            del self._active[self.key_of(model)]

    def key_of(self, model: SessionModel) -> str:
        """Those with the same one wait for each other's callbacks."""
        return model.id

    def running(self, model: SessionModel) -> SessionModel | None:
        """The session that has a callback running, for whose end those of this one wait."""
        run = self._active.get(self.key_of(model))
        return None if run is None else run.session

    def nobody_waits(self, model: SessionModel, *, is_ordered: bool) -> None:
        """A session has ended, by an order of the application or without one, or its client has closed the connection."""
        run = self._active.get(self.key_of(model))
        if (
            self.options.cancel_on_disconnect
            and run is not None
            and run.session is model
            and run.kind == "on_message"
            and run.is_async
            and run.due_at is None
            and not (is_ordered and calling_inbox() is run.inbox)
        ):
            run.due_at = self.loop.now

    def handler_cancelled(self, run: Run) -> bool:
        """A callback sees a cancellation that is not its own doing. Returns whether it is the first."""
        now, timeout_s = self.loop.now, self.options.handler_timeout
        if self.trace is not None:
            self.note(f"{run.session} {run.kind} is cancelled")
        if run.cancelled_at is not None:
            run.asked_at += INSIST_S
            if self.now < run.asked_at - EPSILON_S:
                self.fail(f"{run.session}: {run.kind} is cancelled again, at once")
            run.has_refused = True
            run.cancelled_at = self.now
            return False
        run.cancelled_at = self.now
        run.asked_at = self.now - (now - (run.begun_at + timeout_s if run.due_at is None else run.due_at))
        mark = run.inbox.handling
        if not isinstance(mark, RunningHandler) or not mark.cancellations:
            self.fail(f"{run.session}: {run.kind} is cancelled by nobody")
            return True
        run.is_late = mark.verdict is not None
        if run.is_late:
            self.raises += 1
            if run.kind != "on_message" or not timeout_s or now < run.begun_at + timeout_s - EPSILON_S:
                self.fail(f"{run.session}: {run.kind} is cancelled as late, and runs since {run.begun_at}")
        elif run.due_at is None:
            self.fail(f"{run.session}: {run.kind} is cancelled, and somebody waits for it")
        return True

    def check_handlers(self, late_until: float) -> None:
        """Nothing is to be done now: those who were to be cancelled have seen it, and who refuses that sees it again."""
        now, timeout_s = self.loop.now, self.options.handler_timeout
        for run in self._active.values():
            if run.kind != "on_message" or not run.is_async:
                continue
            if run.cancelled_at is not None:
                if max(run.cancelled_at + INSIST_S, late_until) + _SLACK_S < self.now:
                    self.fail(f"{run.session}: its handler was cancelled at {run.cancelled_at} and has not ended")
            elif run.due_at is not None:
                self.fail(f"{run.session}: nobody waits for its handler, which goes on")
            elif timeout_s and now > max(run.begun_at, self.jumped_at) + 1.25 * timeout_s + _SLACK_S:
                self.fail(f"{run.session}: its handler runs since {run.begun_at}")
