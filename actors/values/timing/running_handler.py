"""`RunningHandler`: what an inbox handles, from the moment on when somebody looks how long that takes.

Put by whoever looks in the place of the entry itself, in the inbox's `handling`, so that no handler costs anything before that.
The inbox sets `handling` anew for each entry; so a mark that still stands there belongs to a handler that still runs.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Handling", "RunningHandler", "running_handler"]


class Handling(Protocol):
    """An inbox, as those see it who look."""

    handling: Any
    """The entry of the mailbox whose handler is awaited: a callback, which has a `kind`, or a frame and its size; None for none.
    It may be replaced by its mark."""


class RunningHandler:
    """See the module."""

    __slots__ = (
        "cancellations",
        "has_refused",
        "inbox",
        "is_to_be_cancelled",
        "item",
        "late_looks",
        "slow_looks",
        "verdict",
    )

    def __init__(self, item: Any) -> None:
        self.item = item
        self.slow_looks = self.late_looks = -1
        """How many looks ago it was found, by whoever looks for slow ones and for late ones; -1 where he has not looked yet."""
        self.is_to_be_cancelled = False
        self.cancellations = 0
        """How often it was cancelled, for the same reason."""
        self.has_refused = False
        """Whether it has not ended in the time that it has for that."""
        self.verdict: BaseException | None = None
        """As what its being cancelled counts; None: as nothing."""
        self.inbox: Any = None
        """While its end is awaited, so that a deadline keeps nothing of a session for longer."""

    @property
    def callback(self) -> str:
        """Which callback it is."""
        return getattr(self.item, "kind", "on_message")

    @property
    def event(self) -> str:
        """Of the frame, where it is one's."""
        event: str = "" if hasattr(self.item, "kind") else self.item[0].event
        return event


def running_handler(inbox: Handling) -> RunningHandler | None:
    """The mark of what runs, made where there is none."""
    handling = inbox.handling
    if handling is None or isinstance(handling, RunningHandler):
        return handling
    inbox.handling = mark = RunningHandler(handling)
    return mark
