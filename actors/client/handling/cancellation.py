"""Whose cancellation it is that the program's own function has raised: its task's, or that of something it waited for.

Asked by the two tasks of a line, wherever they call a function of the program's.
"""

from __future__ import annotations

import asyncio

__all__ = ["is_cancelled"]


def is_cancelled(error: BaseException) -> bool:
    """Whether it is this task that is cancelled."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
