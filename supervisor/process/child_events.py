"""`ChildState`, and `ChildEvents`: what a `Child` tells the supervisor of its worker.

The supervisor takes it. Nothing here decides or does anything.
"""

from __future__ import annotations

import enum
from typing import Protocol, TypeVar

from wspulse.actors.mesh.lifecycle import BootFailed
from wspulse.actors.mesh.message import Message

__all__ = ["ChildEvents", "ChildState"]

AnyChild = TypeVar("AnyChild", contravariant=True)


class ChildState(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    DRAINED = "drained"
    WAITING = "waiting"
    """Between a crash and the next start."""
    STOPPED = "stopped"
    """For good."""


class ChildEvents(Protocol[AnyChild]):
    """What a child tells the supervisor."""

    def on_started(self, child: AnyChild) -> None:
        """It has a worker, which may hear what it is told but is not ready."""

    def on_ready(self, child: AnyChild) -> None:
        """Its worker is ready."""

    def on_down(self, child: AnyChild, incarnation: int) -> None:
        """Its worker has ended, for whatever reason: the sessions of that incarnation are gone."""

    def on_drained(self, child: AnyChild) -> None:
        """After `stop()`: no session is left; the worker waits for `exit()`."""

    def on_stopped(self, child: AnyChild) -> None:
        """After `stop()`: the worker has ended."""

    def on_boot_failed(self, child: AnyChild, failure: BootFailed) -> None:
        """The application cannot be loaded, or its on_start failed; the worker ends, and another one will be started."""

    def on_silence(self, child: AnyChild, silence_s: float, *, is_over: bool) -> None:
        """Its worker has not been heard for so long; or it was, and is heard again."""

    def on_close_requested(self, child: AnyChild) -> None:
        """The application asks for the end of the whole server."""

    def on_message(self, child: AnyChild, message: Message) -> None:
        """Any other message of its worker."""
