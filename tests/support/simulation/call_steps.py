"""The steps of a simulated history in which clients are called, and answer."""

from __future__ import annotations

from tests.support.simulation.draw import Draw
from tests.support.simulation.model.frames import CLOSED, SessionModel
from wspulse.actors.sessions.asking.asking_inbox import AskingInbox

__all__ = ["CallSteps"]


class CallSteps(Draw):
    """See the module."""

    def _call(self) -> None:
        """The application asks a client, from outside of its handlers."""
        draw = self._random
        world = self.world
        sessions = world.model.sessions
        if not sessions:
            return
        session = sessions[-1 - int(draw() * min(3, len(sessions)))]
        if not hasattr(session, "real") or session.is_between or session.is_lost:
            return
        timeout_s = (0.3, 2.0, 9.0)[int(draw() * 3)]
        self._say("call %s for %g s", session, timeout_s)
        world.app.start(world.model.calls.call(session, timeout_s, is_handlers=False))
        if draw() < 0.5:
            # Somebody who waited gives up.
            task = world.app.tasks[-1]
            world.loop.call_later(timeout_s * draw(), task.cancel)

    def _answer(self) -> None:
        """A client answers late what it was asked, perhaps after it has come back, and perhaps what was asked of another session
        of its id."""
        draw = self._random
        world = self.world
        unanswered = world.model.calls.unanswered
        if not unanswered:
            return
        connection_id, number = unanswered.pop(int(draw() * len(unanswered)))
        kind = b"a" if draw() < 0.8 else b"e"
        for peer in world.peers:
            if peer.connection_id == connection_id and peer.can_send and self._has_called(peer.session):
                self._say("%s answers call %s late", peer, number)
                peer.answer_call(kind, number)
                peer.socket.poll()
                return

    def _has_called(self, session: SessionModel | None) -> bool:
        """Whether it looks for answers: to a session that has called nothing they are frames like any other."""
        return (
            session is not None
            and session.state is not CLOSED
            and hasattr(session, "real")
            and isinstance(getattr(session.real, "inbox", None), AskingInbox)
            and session.real.inbox.asked is not None
        )
