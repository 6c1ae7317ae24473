"""`Roster`: the other hosts, as this one has heard of them. A machine: `Membership` tells it what it heard, and when.

A host is in it from the first sign of it until it says that it leaves, or until `Membership` has seen that it is gone: it asks
for those that were silent for longer than a renewal may be late.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wspulse.supervisor.cluster.hosts.records import HostInfo, host_key

__all__ = ["Roster"]


class Roster:
    """See the module. Of a key only what is newer than what was heard counts."""

    def __init__(self) -> None:
        self._alive: dict[str, HostInfo] = {}
        self._ids: dict[str, str] = {}
        self._revisions: dict[str, int] = {}
        self._heard_at: dict[str, float] = {}
        self.hosts: Mapping[str, HostInfo] = MappingProxyType(self._alive)

    def heard(self, key: str, info: HostInfo, revision: int, now: float) -> bool:
        """A host renewed. Whether that changes who is here: it is new, or was started anew."""
        if revision <= self._revisions.get(key, 0) or host_key(info.id) != key:
            return False
        self._revisions[key] = revision
        self._heard_at[key] = now
        changed = self._alive.get(info.id) != info
        self._ids[key] = info.id
        self._alive[info.id] = info
        return changed

    def gone(self, key: str, revision: int) -> HostInfo | None:
        """It has left, or its time is over: its key was like this, or purged, at that revision. Who is not here any more."""
        if revision < self._revisions.get(key, 0) or key not in self._ids:
            return None
        self._revisions.pop(key)
        self._heard_at.pop(key)
        return self._alive.pop(self._ids.pop(key))

    def still_here(self, now: float) -> None:
        """This host was away itself: all have the time that they need to be heard."""
        self._heard_at = dict.fromkeys(self._heard_at, now)

    def silent_since(self, then: float) -> dict[str, int]:
        """Keys of those that were last heard before, with the revision at which that was."""
        return {key: self._revisions[key] for key, heard_at in self._heard_at.items() if heard_at < then}

    def first_heard_at(self) -> float | None:
        """When the one was heard that was not heard for longest."""
        return min(self._heard_at.values(), default=None)
