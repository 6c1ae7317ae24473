"""`ask`: a request to NATS; `start` and `end` of tasks that ask.

`asyncio.wait_for` of Python 3.11, which nats-py's requests are made of, swallows a cancellation that comes together with the
answer: the task would go on, and a deadline of its caller would be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import nats.errors
from nats.aio.client import Client

__all__ = ["ask", "end", "start"]

_CANCEL_AGAIN_S = 0.1


async def ask(client: Client, subject: str, payload: bytes, timeout_s: float) -> bytes | None:
    """The answer; None: nobody is there, or answers in time."""
    try:
        answer = await client.request(subject, payload, timeout=timeout_s)
    except nats.errors.Error:
        data = None
    else:
        data = answer.data
    if (task := asyncio.current_task()) is not None and task.cancelling():
        raise asyncio.CancelledError
    return data


def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task whose error is reported by the loop when it happens."""
    task = asyncio.create_task(work)
    task.add_done_callback(_report)
    return task


async def end(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks until they are done."""
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.result()
