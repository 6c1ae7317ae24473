"""`Measurement`: a row of the contract of telemetry: what is measured, in which unit, and where the figure comes from.

Made by the contract alone. Workers count by the names of its sources, the supervisor makes samples of what they have counted.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Kind", "Measurement"]


class Kind(enum.Enum):
    COUNTER = "counter"
    """It never falls while the server runs, whatever becomes of its workers."""
    GAUGE = "gauge"
    """What there is at this moment."""
    HISTOGRAM = "histogram"
    """How many of what was measured were at most so long, for each of some bounds. It never falls either."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """See the module."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    """"seconds" or "bytes"; empty for a number of something."""
    label: str = ""
    """What tells its samples apart, besides `shard`; empty where nothing does."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """What workers count, or have, for it → the value of the label."""
    prefix: str = ""
    """Whatever else workers count under names that begin so is its own too; the rest of the name is the label's value."""
    per_shard: bool = True
    """Whether the workers measure it, each for itself."""
    bounds: tuple[float, ...] = ()
    """Of a histogram's buckets, in the unit, ascending."""
    on_demand: bool = False
    """Whether it costs something for each frame, ping or upgrade, so that it is measured only where somebody looks."""

    @property
    def labels(self) -> tuple[str, ...]:
        return (*(("shard",) if self.per_shard else ()), *((self.label,) if self.label else ()))

    def found_in(self, counted: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        """Which of the names are its own, each with the value of the label."""
        for name in counted:
            if name in self.sources:
                yield name, self.sources[name]
            elif self.prefix and name.startswith(self.prefix):
                yield name, name.removeprefix(self.prefix)
