"""`ClusterError`: why a host cannot join its cluster."""

from __future__ import annotations

from wspulse.supervisor.errors import StartError

__all__ = ["ClusterError"]


class ClusterError(StartError):
    """The cluster cannot be joined. The sentence says what is wrong and what to do."""
