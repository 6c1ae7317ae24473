"""`Replacement`: the planned restarts of one shard: who waits for the outcome, and the workers that were prepared for it.

One per `Child`, which says how each ends. A restart that is ordered while one is under way is the same one. A standby that has
failed, or that nobody needs any more, leaves by itself, and is killed when it does not.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from wspulse.actors.mesh.message import Message
from wspulse.actors.values.errors import WspulseError
from wspulse.supervisor.process.restart.standby import Launch, LaunchedWorker, Standby, last_line

__all__ = ["Replacement", "ReplacementEvents", "RestartFailedError"]

_logger = logging.getLogger("wspulse.supervisor")


class RestartFailedError(WspulseError):
    """A planned restart has brought no new worker. `reason` is one line; with `serves` the old worker goes on."""

    code = "start_failed"

    def __init__(self, shard: int, reason: str, *, serves: bool) -> None:
        super().__init__(shard, reason)
        self.shard = shard
        self.reason = reason
        self.serves = serves

    def __str__(self) -> str:
        outcome = "the old one goes on" if self.serves else "it is tried again"
        return f"wspulse: the new worker {self.shard} could not start, {outcome}: {self.reason}"


class ReplacementEvents(Protocol):
    """What the child is told, and what it says of its worker."""

    @property
    def is_ready(self) -> bool:
        """Whether the worker serves."""

    def on_prepared(self) -> None:
        """The replacement waits for nothing but the end of the worker that serves."""

    def on_replacements_gone(self) -> None:
        """No process of a dismissed replacement is left."""

    def on_replacement_closes(self) -> None:
        """The application asks for the end of the whole server, from its on_start."""

    def on_worker_message(self, worker: LaunchedWorker, message: Message) -> None:
        """Of a replacement that has taken over."""

    def on_worker_exit(self, worker: LaunchedWorker, code: int) -> None:
        """Of a replacement that has taken over."""


class Replacement:
    """See the module. A replacement has `patience_s` to be prepared."""

    def __init__(self, shard: int, launch: Launch, events: ReplacementEvents, *, patience_s: float) -> None:
        self.events = events
        self._shard = shard
        self._launch = launch
        self._patience_s = patience_s
        self._outcome: asyncio.Future[None] | None = None
        self._standby: Standby | None = None
        self._leaving: set[Standby] = set()

    @property
    def outcome(self) -> asyncio.Future[None] | None:
        """Of the restart that is under way."""
        return self._outcome

    @property
    def is_gone(self) -> bool:
        """Whether no process of a dismissed one is left."""
        return not self._leaving

    def order(self) -> asyncio.Future[None]:
        """A restart is under way from here on, until `succeed` or `fail`."""
        self._outcome = outcome = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(_retrieve)
        return outcome

    def succeed(self) -> None:
        """The replacement is ready."""
        if self._outcome is not None:
            self._outcome.set_result(None)
            self._outcome = None

    def fail(self, error: WspulseError) -> None:
        if self._outcome is not None:
            self._outcome.set_exception(error)
            self._outcome = None

    def prepare(self) -> None:
        """Start a standby beside the worker."""
        try:
            self._standby = Standby(self._shard, self._launch, self, patience_s=self._patience_s)
        except Exception as error:  # as for any other start: no process, no descriptor, no memory
            self._fail_start(f"no process: {error}")

    def take(self) -> Standby | None:
        """The standby, if there is one, which is the shard's worker from here on."""
        standby, self._standby = self._standby, None
        return standby

    def dismiss(self) -> None:
        """Let the standby go, if there is one; `on_replacements_gone` follows."""
        if (standby := self.take()) is not None:
            self._leaving.add(standby)
            standby.dismiss()

    def tell(self, message: Message) -> None:
        """What a worker is to know before it serves."""
        if self._standby is not None:
            self._standby.worker.tell(message)

    def kill(self) -> None:
        """SIGKILL to those that were dismissed."""
        for standby in self._leaving:
            standby.worker.kill()

    # What a standby tells.

    def on_standby_prepared(self) -> None:
        self.events.on_prepared()

    def on_standby_failed(self, text: str) -> None:
        self.dismiss()
        self._fail_start(text)

    def on_standby_gone(self, standby: Standby) -> None:
        self._leaving.discard(standby)
        if not self._leaving:
            self.events.on_replacements_gone()

    def _fail_start(self, text: str) -> None:
        reason = last_line(text)
        fields = {"shard": self._shard, "reason": reason} | ({} if text == reason else {"traceback": text})
        _logger.error("the replacement of a worker could not start", extra=fields)
        self.fail(RestartFailedError(self._shard, reason, serves=self.events.is_ready))


def _retrieve(outcome: asyncio.Future[None]) -> None:
    """Whoever waited may be gone; then nobody needs the outcome."""
    if not outcome.cancelled():
        outcome.exception()
