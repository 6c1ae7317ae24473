"""`TaskSet`: the tasks of one shard that belong to no session: each is held until it ends, and cancelled with the shard."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["TaskSet"]

Result = TypeVar("Result")


class TaskSet:
    """See the module. One per runtime; whoever spawned a task may also await it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel those that have not ended."""
        for task in list(self._tasks):
            task.cancel()
