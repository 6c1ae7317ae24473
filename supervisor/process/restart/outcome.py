"""`Outcome`: what those are told who wait for something that is under way, at most once at a time.

One per `Child`, of its restart. Whoever waited may be gone; then nobody needs it.
"""

from __future__ import annotations

import asyncio

from wspulse.actors.values.errors import WspulseError

__all__ = ["Outcome"]


class Outcome:
    """See the module."""

    def __init__(self) -> None:
        self._waited: asyncio.Future[None] | None = None

    @property
    def waited(self) -> asyncio.Future[None] | None:
        """Of what is under way."""
        return self._waited

    def begin(self) -> asyncio.Future[None]:
        """It is under way from here on, until `succeed` or `fail`."""
        self._waited = waited = asyncio.get_running_loop().create_future()
        waited.add_done_callback(_retrieve)
        return waited

    def succeed(self) -> None:
        if self._waited is not None:
            self._waited.set_result(None)
            self._waited = None

    def fail(self, error: WspulseError) -> None:
        if self._waited is not None:
            self._waited.set_exception(error)
            self._waited = None


def _retrieve(waited: asyncio.Future[None]) -> None:
    if not waited.cancelled():
        waited.exception()
