"""`eager_tasks`: tasks that begin inside the call that makes them, as with `asyncio.eager_task_factory` of Python 3.12."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

__all__ = ["eager_tasks"]


class _FirstStep:
    """In the place of a loop while a task is made: it keeps the task's first step instead of scheduling it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.step: Callable[[], None]
        self._loop = loop

    def call_soon(self, step: Callable[[], None], *, context: Any = None) -> None:
        self.step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def _eager_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
    tasks: Any = asyncio.tasks
    first = _FirstStep(loop)
    context = options.get("context") or copy_context()
    task = tasks._PyTask(coroutine, loop=first, name=options.get("name"), context=context)
    task._loop = loop
    outer = asyncio.current_task(loop)
    if outer is not None:
        tasks._leave_task(loop, outer)
    try:
        context.run(first.step)
    finally:
        if outer is not None:
            tasks._enter_task(loop, outer)
    return task


eager_tasks: Any = getattr(asyncio, "eager_task_factory", _eager_task)
"""For `loop.set_task_factory`."""
