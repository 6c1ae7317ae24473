"""`ClusterError`: why a host cannot join its cluster; `NotYetError` where waiting may mend it."""

from __future__ import annotations

from wspulse.supervisor.errors import StartError

__all__ = ["ClusterError", "NotYetError"]


class ClusterError(StartError):
    """The cluster cannot be joined. The sentence says what is wrong and what to do."""


class NotYetError(ClusterError):
    """JetStream did not answer in time: most of its servers may be about to start."""
