"""Waiting for what no event tells of, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

__all__ = ["eventually"]


async def eventually(condition: Callable[[], Any], what: str, deadline_s: float = 10.0) -> Any:
    """Poll until `condition()` is true, and return its value. AssertionError saying `what` after the deadline."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {deadline_s:g} s still not true: {what}"
        await asyncio.sleep(0.01)
    return value
