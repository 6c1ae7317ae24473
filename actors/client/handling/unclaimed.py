"""`Unclaimed`: frames that have no handler, for `async for frame in line`.

The task that handles puts them in, whoever iterates takes them out. While somebody does, a full queue holds up what comes
behind; while nobody does, its oldest frames give way: a program that has only handlers must not come to a stop over an event
that it never asked for.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable

from wspulse.actors.values.frame import Frame

__all__ = ["FrameIterator", "Unclaimed"]

_MOST_FRAMES = 256


class Unclaimed:
    """The frames of one line that have no handler."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._iterators: set[weakref.ref[FrameIterator]] = set()
        self._changed = asyncio.Event()
        self._end: Callable[[], Exception] | None = None
        self._is_over = False

    async def put(self, frame: Frame) -> None:
        while len(self._frames) >= _MOST_FRAMES and self._iterators:
            await self._change()
        if len(self._frames) >= _MOST_FRAMES:
            self._frames.popleft()
        self._frames.append(frame)
        self._tell_change()

    def finish(self, error: Callable[[], Exception] | None) -> None:
        """No more will come. Whoever has taken all of them gets `error`, or an end."""
        self._is_over, self._end = True, error
        self._tell_change()

    def iterate(self) -> FrameIterator:
        iterator = FrameIterator(self)
        self._iterators.add(weakref.ref(iterator, self._iterator_has_gone))
        return iterator

    async def next(self) -> Frame:
        while not self._frames:
            if self._is_over:
                raise StopAsyncIteration if self._end is None else self._end()
            await self._change()
        frame = self._frames.popleft()
        self._tell_change()
        return frame

    def _iterator_has_gone(self, reference: weakref.ref[FrameIterator]) -> None:
        self._iterators.discard(reference)
        self._tell_change()

    async def _change(self) -> None:
        changed = self._changed
        await changed.wait()

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class FrameIterator:
    """What `async for frame in line` goes over, as long as it does."""

    def __init__(self, unclaimed: Unclaimed) -> None:
        self._unclaimed = unclaimed

    def __aiter__(self) -> FrameIterator:
        return self

    async def __anext__(self) -> Frame:
        return await self._unclaimed.next()
