"""What `/ready` answers: whether every worker serves, and the server has what it needs. No I/O, no clock.

Asked by the application with what `stats` told.
"""

from __future__ import annotations

from wspulse.supervisor.protocol.types import ServerStats

__all__ = ["reasons_against"]

SERVING = ("ready", "moving")
"""A worker whose sessions move to another one serves on until they have."""


def reasons_against(stats: ServerStats) -> list[str]:
    """Why the server is not ready, a line each; empty where it is. They name no client."""
    reasons = list(stats.unwell)
    if not stats.workers:
        reasons.append("no worker has been started yet")
    for worker in stats.workers:
        if worker.state not in SERVING:
            reasons.append(f"worker {worker.shard} is {worker.state}")
        reasons += [f"worker {worker.shard}: {reason}" for reason in worker.unwell if reason not in stats.unwell]
    return reasons
