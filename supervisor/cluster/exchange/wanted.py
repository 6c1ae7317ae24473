"""`Wanted`: the buckets whose messages this host's workers want, and how far each has come. No I/O, no clock.

The exchange owns it. A bucket is wanted while a worker is subscribed to a room of it, and a while longer. It *lags* while it is
not proven, or something that the cluster has acknowledged to a worker of this host has not been forwarded yet.
"""

from __future__ import annotations

from wspulse.actors.bus.cluster.buckets import PARTITIONS, partition_of

__all__ = ["Bucket", "Wanted"]

_UNPROVEN = 1 << 63
"""Higher than every sequence: nothing is known to have come so far."""


class Bucket:
    """One that is wanted."""

    __slots__ = ("empty_since", "has_forwarded", "highest", "number", "position", "topics", "wish")

    def __init__(self, number: int, position: int) -> None:
        self.number = number
        self.topics = 0
        """Rooms to which somebody is subscribed."""
        self.empty_since: float | None = None
        self.position = position
        """The last sequence that was forwarded, or that there was nothing up to it."""
        self.highest = position
        """The highest sequence of which we know."""
        self.has_forwarded = False
        """Since it was asked of the feed."""
        self.wish = 0
        """How often it was."""


class Wanted:
    """See the module."""

    def __init__(self) -> None:
        self.buckets: dict[int, Bucket] = {}
        self.unproven: set[int] = set()
        self.positions = [0] * PARTITIONS
        """The highest sequence of each partition that came or was proven."""
        self.lagging: dict[int, int] = {}
        """Bucket → up to where it has to come."""

    def add(self, number: int, position: int) -> Bucket:
        bucket = self.buckets[number] = Bucket(number, position)
        self.unproven.add(number)
        self.lagging[number] = _UNPROVEN
        return bucket

    def remove(self, number: int) -> None:
        del self.buckets[number]
        self.unproven.discard(number)
        self.lagging.pop(number, None)

    def rewound(self, bucket: Bucket, position: int) -> None:
        """It is asked of the feed again, from there on."""
        bucket.position = position
        bucket.has_forwarded = False
        self.unproven.add(bucket.number)
        self.lagging[bucket.number] = _UNPROVEN

    def forwarded(self, bucket: Bucket, sequence: int) -> None:
        bucket.has_forwarded = True
        self._came(bucket, sequence)

    def proven(self, bucket: Bucket, sequence: int) -> None:
        self.unproven.discard(bucket.number)
        self.lagging[bucket.number] = bucket.highest
        self._came(bucket, sequence)

    def acknowledged(self, number: int, sequence: int) -> None:
        """The cluster has a message of ours."""
        bucket = self.buckets.get(number)
        if bucket is not None and sequence > bucket.highest:
            bucket.highest = sequence
            if number not in self.unproven:
                self.lagging[number] = sequence

    def _came(self, bucket: Bucket, sequence: int) -> None:
        number = bucket.number
        partition = partition_of(number)
        if sequence > self.positions[partition]:
            self.positions[partition] = sequence
        if sequence > bucket.position:
            bucket.position = sequence
            if sequence > bucket.highest:
                bucket.highest = sequence
        if self.lagging.get(number, _UNPROVEN) <= bucket.position:
            del self.lagging[number]

    def has_come(self, number: int, sequence: int) -> bool:
        """Whether a bucket has come so far, or is not wanted any more. `sequence` is from `lagging`."""
        bucket = self.buckets.get(number)
        if bucket is None:
            return True
        if number in self.unproven:
            return False
        return bucket.position >= (bucket.highest if sequence == _UNPROVEN else sequence)
