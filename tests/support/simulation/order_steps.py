"""The steps of a simulated history in which the application does something to sessions, or looks at them."""

from __future__ import annotations

from tests.support.simulation.exact_steps import ExactSteps
from tests.support.simulation.model.checks import check_endings, check_records
from tests.support.simulation.model.frames import CLOSED, CONNECTED

__all__ = ["OrderSteps"]


class OrderSteps(ExactSteps):
    """See the module."""

    def _kick(self) -> None:
        connection_id = self._ids[int(self._random() * len(self._ids))]
        self._say("kick %s", connection_id)
        self.world.app.kick(connection_id)

    def _close(self) -> None:
        sessions = self.world.model.sessions
        if sessions:
            session = sessions[-1 - int(self._random() * min(3, len(sessions)))]
            self._say("close %s", session)
            if session.state is CLOSED or hasattr(session, "real"):
                self.world.app.close(session)

    def _join(self) -> None:
        live = self.world.model.live
        if live:
            session, room_id = live[sorted(live)[int(self._random() * len(live))]], self._room()
            self._say("%s joins %s", session, room_id)
            app = self.world.app
            self.world.app.start((app.join if self._random() < 0.5 else app.join_and_say)(session, room_id))

    def _leave(self) -> None:
        live = self.world.model.live
        if live:
            session, room_id = live[sorted(live)[int(self._random() * len(live))]], self._room()
            self._say("%s leaves %s", session, room_id)
            self.world.app.start(self.world.app.leave(session, room_id))

    def _list(self) -> None:
        room_id = self._rooms[int(self._random() * len(self._rooms))]
        check_records(self.world.model, self.world.shard, room_id)
        check_endings(self.world.model, self.world.peers, self.world.late_until)
        self.world.forget_closed_peers()

    def _watch(self) -> None:
        sessions = self.world.model.sessions
        if sessions and sessions[-1].state is CONNECTED and hasattr(sessions[-1], "real"):
            self._say("somebody waits for the end of %s", sessions[-1])
            for _ in range(1 + int(self._random() * 2)):
                self.world.app.start(self.world.app.watch(sessions[-1]))

    def _shut_down(self) -> None:
        if self._random() < 0.2 and not self.world.app.is_shut:
            self._say("the server closes")
            self.world.app.start(self.world.app.shut_down())
