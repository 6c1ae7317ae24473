"""How buckets, partitions and what belongs to them are called in NATS. No I/O.

    WSPULSE_<cluster>_<partition>                         a stream
    wspulse.<cluster>.in.<partition>.<bucket>             where a bucket's messages are published, and stored under
    wspulse.<cluster>.out.<partition>.<bucket>            where the stream republishes them
    wspulse.<cluster>.in|out.<partition>.probe.<life>.<n> a probe, of one feed alone

Rooms' names are no part of it: a subject has an alphabet, and rooms' names have none.
"""

from __future__ import annotations

import re

from wspulse.supervisor.cluster.errors import ClusterError

__all__ = ["BUCKETS", "PARTITIONS", "Names"]

BUCKETS = 4096
PARTITIONS = 16

_CLUSTER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Names:
    """Those of one cluster. Raises ClusterError for a cluster's name that NATS would not take."""

    def __init__(self, cluster: str) -> None:
        if not _CLUSTER.fullmatch(cluster):
            raise ClusterError(f"a cluster's name has up to 64 letters, digits, '-' and '_': {cluster[:100]!r} is none")
        self._in = f"wspulse.{cluster}.in"
        self._out = f"wspulse.{cluster}.out"
        self._stream = f"WSPULSE_{cluster}"

    def stream(self, partition: int) -> str:
        return f"{self._stream}_{partition}"

    def stored(self, bucket: int) -> str:
        return f"{self._in}.{bucket % PARTITIONS}.{bucket}"

    def republished(self, bucket: int) -> str:
        return f"{self._out}.{bucket % PARTITIONS}.{bucket}"

    def probe(self, partition: int, life: int, number: int) -> tuple[str, str]:
        """Where it is published, and where it comes back."""
        rest = f"{partition}.probe.{life}.{number}"
        return f"{self._in}.{rest}", f"{self._out}.{rest}"

    def all_stored(self, partition: int) -> str:
        return f"{self._in}.{partition}.>"

    def all_republished(self, partition: int) -> str:
        return f"{self._out}.{partition}.>"

    def stored_buckets(self, partition: int) -> str:
        """Without the probes."""
        return f"{self._in}.{partition}.*"
