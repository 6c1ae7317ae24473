"""`Counterparts`: what a `Presence` tells those on the other workers, of this host and of all others.

Made by it when its shard starts. What is told to one that is not up is lost; whoever comes up is told anew by `Presence`.
"""

from __future__ import annotations

from collections.abc import Mapping

from wspulse.actors.apps.watched_room import Place, State
from wspulse.actors.cluster.far.host import FarShard
from wspulse.actors.mesh.message import PresenceReport, WatchRoom
from wspulse.actors.runtime.extension import Extended

__all__ = ["Counterparts", "place_of"]


class Counterparts:
    """See the module. Those of other hosts have seats too, which no process of this host has."""

    def __init__(self, runtime: Extended) -> None:
        self._runtime = runtime
        self._far: Mapping[int, FarShard] = {}
        self._me = runtime.shard
        self._host = ""
        if (cluster := runtime.cluster) is not None:
            self._host, self._far = cluster.host, cluster.far.refs
            cluster.far.begin()

    @property
    def are_far(self) -> bool:
        """Whether some are on other hosts, and take longer to answer."""
        return bool(self._far)

    @property
    def own_place(self) -> Place:
        return place_of(self._me.index, self._host)

    def watch(self, room_id: str, *, watching: bool) -> None:
        """Tell all that this worker has watchers of a room, or none any more."""
        for shard in [*self._runtime.refs, *self._far]:
            if shard != self._me.seat:
                self.tell_watching(shard, room_id, watching=watching)

    def tell_watching(self, shard: int, room_id: str, *, watching: bool) -> None:
        """Tell one."""
        self._tell(shard, WatchRoom(self._me.seat, self._me.incarnation, room_id, watching))

    def report(self, shard: int, room_id: str, states: list[tuple[str, State]], *, complete: bool) -> None:
        """Tell one how members are that this worker has. `complete`: it has no others."""
        me = self._me
        self._tell(shard, PresenceReport(me.seat, me.incarnation, room_id, complete, states, me.index, self._host))

    def _tell(self, shard: int, message: WatchRoom | PresenceReport) -> None:
        if (ref := self._runtime.refs.get(shard) or self._far.get(shard)) is not None:
            ref.tell(message)


def place_of(worker: int, host: str) -> Place:
    return {"worker": worker, "host": host} if host else {"worker": worker}
