"""`Agreement`: what the hosts of a cluster must have in common, and what they should.

One for each `Membership`. What would break the cluster keeps a host out. Options that change what clients see only get a line in
the log: a change of them goes from host to host, and must be able to.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from wspulse.actors.bus.cluster.buckets import BUCKETS, PARTITIONS
from wspulse.supervisor.cluster.errors import ClusterError
from wspulse.supervisor.cluster.hosts.records import HostInfo

__all__ = ["COMMON", "Agreement"]

COMMON = {"cluster protocol": "1", "buckets": str(BUCKETS), "partitions": str(PARTITIONS)}
"""What hosts tell each other, and how. The protocol's number rises with a change that an earlier version does not understand."""

_logger = logging.getLogger("wspulse.cluster")


class Agreement:
    """See the module."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def check(self, me: HostInfo, hosts: Mapping[str, HostInfo]) -> None:
        """Raises ClusterError for the first host that has something else which must be the same."""
        for info in _others(me, hosts):
            if difference := _difference(me.settings, info.settings):
                raise ClusterError(
                    f"host {info.id!r} of this cluster, at {info.address} (wspulse {info.version or 'unknown'}), has other "
                    f"settings: {difference}. They must be the same on all hosts: run the same version of wspulse on all of "
                    f"them, or give this cluster another name (--cluster-name)"
                )

    def compare(self, me: HostInfo, hosts: Mapping[str, HostInfo]) -> None:
        """Log what is different and need not be the same: once, until it is so anew."""
        found: dict[str, list[str]] = {}
        for info in _others(me, hosts):
            if me.options and info.options and (difference := _difference(me.options, info.options)):
                found.setdefault(difference, []).append(info.id)
        for difference, names in found.items():
            if difference not in self._told:
                _logger.warning(
                    "clients are served differently by other hosts of this cluster, until their options are the same",
                    extra={"hosts": ", ".join(names), "options": difference},
                )
        self._told = set(found)


def _others(me: HostInfo, hosts: Mapping[str, HostInfo]) -> list[HostInfo]:
    return [info for _, info in sorted(hosts.items()) if info.id != me.id]


def _difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    return "; ".join(
        f"{name} is {there.get(name, 'not set')} there and {here.get(name, 'not set')} here"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    )
