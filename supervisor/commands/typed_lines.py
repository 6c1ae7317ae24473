"""`typed_lines`: what somebody types, or a program writes to our stdin, line by line in an event loop.

A thread reads: a file cannot be waited for. It is left behind at the end, since nothing ends a `read` of a terminal.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator

__all__ = ["LongLineError", "typed_lines"]

_MOST_LINES = 64
"""That wait; the thread waits too then, and with it whoever writes."""

_LONGEST_BYTES = 16 << 20


class LongLineError(Exception):
    """A line has no end."""


async def typed_lines(descriptor: int = 0) -> AsyncIterator[str]:
    """The lines, without their ends, until the input ends. Raises LongLineError for one of over 16 MiB, OSError where it cannot
    be read."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | Exception | None] = asyncio.Queue(_MOST_LINES)

    def pass_on(item: str | Exception | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()

    def read() -> None:
        try:
            for line in _lines(descriptor):
                pass_on(line)
            pass_on(None)
        except RuntimeError:
            pass  # the loop has ended
        except (LongLineError, OSError) as error:
            try:
                pass_on(error)
            except RuntimeError:
                pass

    threading.Thread(target=read, name="wspulse-stdin", daemon=True).start()
    while (item := await queue.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield item


def _lines(descriptor: int) -> Iterator[str]:
    """`sys.stdin` has a lock that the interpreter takes when it ends; whoever reads holds it."""
    rest = b""
    while data := os.read(descriptor, 1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").removesuffix("\r")
        if len(rest) > _LONGEST_BYTES:
            raise LongLineError("a line is longer than 16 MiB")
    if rest:
        yield rest.decode("utf-8", "replace").removesuffix("\r")
