"""`Presence`: which companions of one kind are up, and what that means for the server as a whole.

Made by the part of the server that has them. The server is ready when all have been up at once; a start that fails before that is
the server's own. From then on it is well while one of them is up. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Presence"]


class Presence:
    """See the module. `amiss` is what is wrong when none is up, and `tell(amiss, is_amiss)` has the health checks say it;
    `on_up()` is called when all are up at last; `on_failed(reason)` when that will not be."""

    def __init__(
        self,
        amiss: str,
        tell: Callable[[str, bool], None],
        on_up: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._amiss = amiss
        self._tell = tell
        self._on_up = on_up
        self._on_failed = on_failed
        self._wanted = 0
        self._up: set[int] = set()
        self._were_up = False
        self._is_ending = False

    @property
    def are_up(self) -> bool:
        """Whether all are, or have been: also where none is wanted."""
        return self._were_up or not self._wanted

    def want(self, count: int) -> None:
        """So many are about to start."""
        self._wanted = count

    def up(self, number: int) -> None:
        if self._is_ending:
            return
        if self._were_up and not self._up:
            self._tell(self._amiss, False)
        self._up.add(number)
        if not self._were_up and len(self._up) == self._wanted:
            self._were_up = True
            self._on_up()

    def down(self, number: int) -> None:
        """It has ended."""
        was_up = number in self._up
        self._up.discard(number)
        if was_up and self._were_up and not self._up and not self._is_ending:
            self._tell(self._amiss, True)

    def failed(self, reason: str) -> None:
        """One could not be started, or has died."""
        if not self._were_up and not self._is_ending:
            self._on_failed(reason)

    def end(self) -> None:
        """They are told to end."""
        self._is_ending = True
