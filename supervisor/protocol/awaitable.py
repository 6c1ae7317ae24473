"""`result_of`: calling what may be a coroutine function, or a plain one."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["result_of"]


async def result_of(value: Any) -> Any:
    """`value`, or what it gives when it is awaited, if it can be."""
    return await value if inspect.isawaitable(value) else value
