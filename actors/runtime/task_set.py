"""`TaskSet`: the tasks of one shard that belong to no session: each is held until it ends, and cancelled with the shard."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

__all__ = ["TaskSet"]

Result = TypeVar("Result")

_END_S = 1.0
"""How long the application may take over a cancellation."""


class TaskSet:
    """See the module. One per runtime; whoever spawned a task may also await it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._context = copy_context()

    def spawn(self, coroutine: Coroutine[Any, Any, Result], context: Context | None = None) -> asyncio.Task[Result]:
        """Begin it, in a `context` of its own; None: in a copy of the caller's."""
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def spawn_apart(self, coroutine: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begin it in a context in which nothing of the caller's is set: that of a handler would be kept."""
        return self.spawn(coroutine, self._context.copy())

    async def end(self) -> None:
        """Cancel those that have not ended, and give them a second to."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_END_S)
