"""`FeedPort`: the feed, as the exchange sees it: messages of all hosts, in one order for each bucket.

The feed calls the exchange's `deliver(bucket, sequence, data)` on the loop: in the order of the bucket, whose sequences rise with
holes, each of them once until the bucket is wanted anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["FeedPort"]


class FeedPort(Protocol):
    """See the module."""

    def want(self, bucket: int, proven: Callable[[int], None], after: int | None = None) -> None:
        """Deliver what is published to the bucket. `proven(sequence)` is called once, later: all that is stored behind that
        sequence of the bucket's partition will be delivered, and what lies before it and was wanted has been. With `after`, what
        is kept behind that sequence is delivered first."""

    def unwant(self, bucket: int) -> None:
        """Nothing more of it, and no `proven`."""

    async def publish(self, bucket: int, message_id: str, data: bytes, *, deadline: float) -> int:
        """Have a message kept, once for each id. Returns its sequence. Raises ValueError for one that is too large ever to be
        kept, and what else it likes at the deadline (monotonic)."""
