"""`Health`: whether a worker can do what it is there for, and if not, why. No I/O, no clock.

One per worker, made by its runtime. Whoever finds something amiss says so, and says when it is mended; the health check is
answered by it, 503 while anything is amiss. It logs nothing and ends nothing: clients are served on.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MEMORY_IS_SHORT", "Health"]

MEMORY_IS_SHORT: Final = "memory use is above max_memory"
"""While it is so, nobody is let in either."""


class Health:
    """See the module. Reasons are short and constant: whoever may reach the health check reads them."""

    __slots__ = ("_reasons",)

    def __init__(self) -> None:
        self._reasons: dict[str, None] = {}

    def fail(self, reason: str) -> None:
        """Something is amiss. Said again, it changes nothing."""
        self._reasons[reason] = None

    def mend(self, reason: str) -> None:
        """It is so no more, or never was."""
        self._reasons.pop(reason, None)

    @property
    def ok(self) -> bool:
        return not self._reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """In the order in which they came up."""
        return tuple(self._reasons)
