"""`Resting`: which sessions of a source come to rest, whose turn it is, and which of them may leave.

Made by a departure. Of all that are to go a few hundred are at rest at a time; those behind them are served until it is their
turn. It moves nothing and closes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from time import monotonic
from typing import Protocol

from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.halting import Halting

__all__ = ["Rest", "Resting"]

_MOST_SESSIONS = 256
"""Four batches: enough that one is ready when another has gone, few enough that nobody waits long."""


class Rest(Protocol):
    """Who is told of it."""

    def joining(self) -> Collection[str]:
        """The ids of newcomers that may take a session over."""

    def halted(self, session: Session) -> None:
        """It is to come to rest."""

    def returned(self, session: Session) -> None:
        """It goes on here."""


class Resting:
    """See the module. `going()` are all that are to go."""

    def __init__(self, shard: Shard, going: Callable[[], list[Session]], told: Rest) -> None:
        self.halting = Halting()
        self._shard = shard
        self._going = going
        self._joining = told.joining
        self._told = told
        self._since: dict[Session, float] = {}
        """Those that were told to come to rest, and when."""
        self._turns: Iterator[Session] = iter(())
        self._said_goodbye: set[Inbox] = set()
        """Those whose on_transfer_out was called."""

    def __len__(self) -> int:
        return len(self._since)

    def bring_to_rest(self) -> None:
        """As many as may be."""
        since, sessions = self._since, self._shard.sessions
        for session in [each for each in since if sessions.get(each.id) is not each]:
            # It has ended, or it is between two processes.
            del since[session]
        now = monotonic()
        while len(since) < _MOST_SESSIONS:
            turn = self._next()
            if turn is None:
                break
            if turn not in since and sessions.get(turn.id) is turn:
                since[turn] = now
                self.halting.halt(turn)
                self._told.halted(turn)

    def _next(self) -> Session | None:
        for session in self._turns:
            return session
        # All have had their turn: look who has come since, or come back.
        self._turns = iter([session for session in self._going() if session not in self._since])
        return next(self._turns, None)

    def late(self, timeout_s: float) -> list[Session]:
        """Those that have not come to rest for so long."""
        late = monotonic() - timeout_s
        return [session for session, since in self._since.items() if since <= late]

    def ready(self) -> Iterator[Session]:
        """Those that are at rest, the oldest first."""
        joining = self._joining()
        for session in list(self._since):
            if session.id in joining or not self.halting.is_at_rest(session) or self._says_goodbye(session):
                continue
            yield session

    def who_may_leave(self) -> Callable[[Session], bool]:
        """Asked at the cut: something may have happened since they were chosen."""
        joining, halting = self._joining(), self.halting
        return lambda session: session.id not in joining and halting.is_at_rest(session)

    def _says_goodbye(self, session: Session) -> bool:
        """Have the application told, as its last callback here; then it has yet to come to rest again."""
        inbox = session.inbox
        if self._shard.handlers.on_transfer_out is None or inbox in self._said_goodbye:
            return False
        self._said_goodbye.add(inbox)
        inbox.post("on_transfer_out")
        return True

    def came_back(self, session: Session) -> None:
        """It was taken back, and goes on here until its turn comes again."""
        self._since.pop(session, None)
        self.halting.forget(session.inbox)
        self._told.returned(session)

    def return_one(self, session: Session) -> None:
        """It stays."""
        self._since.pop(session, None)
        self._told.returned(session)
        self.halting.go_on(session)

    def forget(self, session: Session, inbox: Inbox) -> None:
        """It has left."""
        self._since.pop(session, None)
        self.halting.forget(inbox)
        self._said_goodbye.discard(inbox)

    def return_all(self) -> None:
        """What is left stays here; who was told that it leaves is told that it is here."""
        sessions = self._shard.sessions
        for session in list(self._since):
            if sessions.get(session.id) is session:
                self._told.returned(session)
                self.halting.go_on(session)
        self._since.clear()
        for session in list(sessions.values()):
            if session.inbox in self._said_goodbye and self._shard.handlers.on_transfer_in is not None:
                session.inbox.post("on_transfer_in")
        self._said_goodbye.clear()
