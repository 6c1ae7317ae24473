"""`timed`: a handler whose calls are measured, from the call until it has returned, or what it returned was awaited.

Made where somebody looks at the metrics, in the place of the handler itself; otherwise there is nothing of it. What the handler
gets, returns and raises is the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from wspulse.actors.values.awaitable import is_awaitable
from wspulse.actors.values.telemetry.histogram import Histogram

__all__ = ["timed"]


def timed(handler: Callable[..., Any], times: Histogram) -> Callable[..., Any]:
    """See the module."""

    def call(*args: Any) -> Any:
        began = perf_counter()
        awaitable = None
        try:
            result = handler(*args)
            if result is not None and is_awaitable(result):
                awaitable = _until_done(result, times, began)
                return awaitable
            return result
        finally:
            if awaitable is None:
                times.observe(perf_counter() - began)

    return call


async def _until_done(awaitable: Awaitable[Any], times: Histogram, began: float) -> Any:
    try:
        return await awaitable
    finally:
        times.observe(perf_counter() - began)
