"""`Statistics`: what a shard knows of itself, for the control socket's `stats` and `metrics`.

One per runtime, made with it. It counts nothing itself: it reads the shard's tables, its metrics, its links and the loop's lag.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from wspulse.actors.runtime.loop_lag import LoopLag
from wspulse.actors.runtime.siblings import Siblings
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.health import Health

__all__ = ["Statistics"]


class Statistics:
    """See the module. The uptime counts from its creation."""

    def __init__(self, shard: Shard, siblings: Siblings, lag: LoopLag, health: Health) -> None:
        self._shard = shard
        self._siblings = siblings
        self._lag = lag
        self._health = health
        self._started_at = monotonic()

    def now(self) -> dict[str, Any]:
        """Plain values by name, at this moment, and under "counters" what was counted since the worker's start; names and
        meanings are those of doc/reference/control.md."""
        shard = self._shard
        return {
            "connections": len(shard.sessions),
            "rooms": sum(1 for room in shard.rooms.values() if len(room)),
            "queued": sum(session.queued_frames for session in shard.sessions.values()),
            "uptime_s": monotonic() - self._started_at,
            "loop_lag_s": self._lag.last_s,
            "loop_lag_worst_s": self._lag.worst_s,
            "links_down": self._siblings.links_down,
            "unwell": list(self._health.reasons),
            "counters": shard.metrics.counted(),
        }

    def measured(self) -> dict[str, dict[str, Any]]:
        """The sources of the contract of telemetry, by kind and name; counters and histograms since the worker's start."""
        shard = self._shard
        suspended = queued = 0
        for session in shard.sessions.values():
            # This holds up the loop: a session that takes everything, as nearly all do, costs one look.
            transport = session.transport
            if transport is None:
                suspended += 1
                queued += session.queued_frames
            elif transport.blocked:
                queued += session.queued_frames
        return {
            "gauges": {
                "connected": len(shard.sessions) - suspended,
                "suspended": suspended,
                "rooms": sum(1 for room in shard.rooms.values() if len(room)),
                "queued": queued,
                "links_down": self._siblings.links_down,
            },
            "counters": shard.metrics.counted(),
            "histograms": shard.metrics.histograms.told(),
        }
