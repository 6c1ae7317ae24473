"""`measured`: an `on_message` that is measured, by event where an event router is it.

Asked for by a runtime whose server is looked at, once, before any frame comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wspulse.actors.events.router import EventRouter
from wspulse.actors.events.timed import timed
from wspulse.actors.values.telemetry.histogram import Histograms

__all__ = ["measured"]


def measured(on_message: Callable[..., Any] | None, histograms: Histograms) -> Callable[..., Any] | None:
    """What is to be called in its place. The labels are the events that have a handler; whatever clients send beside them has
    the empty one, as all that an `on_message` without a router is given."""
    if isinstance(on_message, EventRouter):
        on_message.measure(histograms)
        return on_message
    return None if on_message is None else timed(on_message, histograms.of("wspulse_handler_seconds"))
