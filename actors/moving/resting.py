"""`Resting`: which sessions of a source come to rest, whose turn it is, and which of them may leave.

Made by a departure. Of those that are served a few hundred come to rest at a time, so that those behind them are served until
it is their turn; one that does not come to rest at once, because a handler of it runs, is looked at now and then, and nobody
waits for it. It moves nothing and closes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from time import monotonic
from typing import Protocol

from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer.halting import Halting
from wspulse.actors.sessions.transfer.places import call_first, go_on
from wspulse.actors.sessions.transfer.recording import weight_bytes

__all__ = ["BATCH_SESSIONS", "Rest", "Resting"]

BATCH_SESSIONS = 64
"""Tried: 13,600 sessions a second, with a pause of 2.8 ms in the middle; with 250 it is 15 ms, with 16 only 8,100 a second."""

_BATCH_BYTES = 1024 * 1024
"""What waits for clients that do not read, and for which the others of a batch wait. Tried with 2,000 clients: the longest pause
is 35 ms; 72 ms with 8 MiB."""

_MOST_SESSIONS = 256
"""Four batches: enough that one is ready when another has gone, few enough that nobody waits long."""

_SOON_S = 0.005
"""A session that runs nothing is at rest by then."""

_FINISHING_S = 1.0
"""How long last callbacks have at least."""

_LOOK_S = 0.02
"""Between two looks at those who are not."""


class Rest(Protocol):
    """Who is told of it."""

    def joining(self) -> Collection[str]:
        """The ids of newcomers that may take a session over."""

    def halted(self, session: Session) -> None:
        """It is to come to rest."""

    def returned(self, session: Session) -> None:
        """It goes on here."""


class Resting:
    """See the module. `going()` are all that are to go, `goes(connection_id)` says it of an id."""

    def __init__(
        self, shard: Shard, going: Callable[[], list[Session]], goes: Callable[[str], bool], told: Rest
    ) -> None:
        self.halting = Halting(self._disturbed)
        self._shard = shard
        self._going = going
        self._goes = goes
        self._joining = told.joining
        self._told = told
        self._soon: dict[Session, float] = {}
        """Those that were told to come to rest, and when."""
        self._busy: dict[Session, float] = {}
        """Those of them that have not for a while."""
        self._look_at = 0.0
        """When those are looked at again."""
        self._given_up: set[Session] = set()
        """Those that cannot move, and have yet to end."""
        self._turns: Iterator[Session] = iter(())
        self._round_at = 0.0
        """When it is looked who has come since, though others are on their way."""
        self._begun_at = monotonic()
        self._empty_since: float | None = None
        self._said_goodbye: set[Inbox] = set()
        """Those whose on_transfer_out was called."""
        self._stirred: set[Inbox] = set()
        """Those to which something has happened since sessions were chosen."""

    def __len__(self) -> int:
        return len(self._soon) + len(self._busy)

    def bring_to_rest(self) -> None:
        """As many as may be."""
        soon, sessions, now = self._soon, self._shard.sessions, monotonic()
        for session, since in list(soon.items()):
            if sessions.get(session.id) is not session:
                # It has ended, or it is between two processes.
                del soon[session]
            elif now > since + _SOON_S and not self.halting.is_at_rest(session):
                # What it was at rest before, and waited for others, is not its own time.
                self._busy[session] = now
                del soon[session]
        while len(soon) < _MOST_SESSIONS:
            turn = self._next()
            if turn is None:
                break
            if turn not in soon and sessions.get(turn.id) is turn:
                soon[turn] = now
                self.halting.halt(turn)
                self._told.halted(turn)
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._look_at_busy()

    def _look_at_busy(self) -> None:
        for session in list(self._busy):
            if self._shard.sessions.get(session.id) is not session:
                del self._busy[session]
            elif self.halting.is_at_rest(session):
                self._soon[session] = self._busy.pop(session)

    def _next(self) -> Session | None:
        for session in self._turns:
            return session
        # All have had their turn: look who has come since, or come back.
        now = monotonic()
        if len(self) and now < self._round_at:
            return None
        self._round_at = now + _LOOK_S
        self._given_up = {session for session in self._given_up if self._shard.sessions.get(session.id) is session}
        known = self._soon.keys() | self._busy.keys() | self._given_up
        self._turns = iter([session for session in self._going() if session not in known])
        return next(self._turns, None)

    def next_round(self) -> list[Session]:
        """All that are to go, once each, with no word to them: none of them moves."""
        going = [session for session in self._going() if session not in self._given_up]
        self._given_up.update(going)
        return going

    def late(self, timeout_s: float) -> list[Session]:
        """Those that have not come to rest for so long."""
        late = monotonic() - timeout_s
        return [session for session, since in self._busy.items() if since <= late]

    def is_anybody_left(self, timeout_s: float) -> bool:
        """Whether somebody is left, or may come: newcomers who wait here; and whoever follows a session whose last callbacks run,
        which no other process is to run beside them. Those are waited for as long as a session would be."""
        if len(self) or self._going() or any(map(self._goes, self._joining())) or self._is_between():
            self._empty_since = None
            return True
        now = monotonic()
        if self._empty_since is None:
            self._empty_since = now
        if now > max(self._begun_at + timeout_s, self._empty_since + _FINISHING_S):
            return False
        return any(map(self._goes, self._shard.finishing))

    def _is_between(self) -> bool:
        """Whether a session may yet come back that is on its way to another host."""
        transit = self._shard.transit
        return transit is not None and any(self._goes(session.id) for session in transit.between(None))

    def ready(self) -> Iterator[Session]:
        """Those that are at rest, the oldest first."""
        joining = self._joining()
        for session in list(self._soon):
            if session.id in joining or not self.halting.is_at_rest(session) or self._says_goodbye(session):
                continue
            yield session

    def batches(self, seat_of: Callable[[str], int | None]) -> dict[int, list[Session]]:
        """By the seat where they go, those that are at rest: of each seat as many as go at once."""
        self._stirred.clear()
        found: dict[int, list[Session]] = {}
        room_bytes: dict[int, int] = {}
        for session in self.ready():
            seat = seat_of(session.id)
            assert seat is not None
            sessions = found.setdefault(seat, [])
            left_bytes = room_bytes.get(seat, _BATCH_BYTES)
            if len(sessions) < BATCH_SESSIONS and left_bytes > 0:
                sessions.append(session)
                room_bytes[seat] = left_bytes - weight_bytes(session)
        return found

    def who_may_leave(self) -> Callable[[Session], bool]:
        """Asked at the cut: something may have happened since they were chosen."""
        joining, halting, stirred = self._joining(), self.halting, self._stirred
        says_goodbye = self._shard.handlers.on_transfer_out is not None

        def may_leave(session: Session) -> bool:
            # What a callback of it has broadcast since stands behind the cut: the target would be heard before it.
            if session.id in joining or session.inbox in stirred or not halting.is_at_rest(session):
                return False
            return not says_goodbye or session.inbox in self._said_goodbye

        return may_leave

    def _says_goodbye(self, session: Session) -> bool:
        """Have the application told, as its last callback here; then it has yet to come to rest again."""
        inbox = session.inbox
        if self._shard.handlers.on_transfer_out is None or inbox in self._said_goodbye:
            return False
        self._said_goodbye.add(inbox)
        # What waits for its handlers goes with it.
        call_first(inbox, "on_transfer_out")
        go_on(inbox)
        return True

    def _disturbed(self, inbox: Inbox) -> None:
        self._stirred.add(inbox)
        self._says_hello(inbox)

    def _says_hello(self, inbox: Inbox) -> None:
        """A session whose application was told that it leaves is reported as being here, before anything else of it runs."""
        if inbox in self._said_goodbye:
            self._said_goodbye.discard(inbox)
            mailbox = inbox._mailbox
            if mailbox and isinstance(mailbox[0], Callback) and mailbox[0].kind == "on_transfer_out":
                # It has not been told yet.
                mailbox.popleft()
            elif self._shard.handlers.on_transfer_in is not None:
                call_first(inbox, "on_transfer_in")

    def came_back(self, session: Session) -> None:
        """It was taken back, and goes on here until its turn comes again."""
        self._forget(session, session.inbox)
        self._told.returned(session)
        self._says_hello(session.inbox)
        self.halting.go_on(session)

    def give_up(self, session: Session) -> None:
        """It stays until it ends."""
        self._soon.pop(session, None)
        self._busy.pop(session, None)
        self._given_up.add(session)
        self._told.returned(session)
        self.halting.go_on(session)

    def has_left(self, session: Session, inbox: Inbox) -> None:
        """It is another process's."""
        self._forget(session, inbox)
        self._said_goodbye.discard(inbox)

    def _forget(self, session: Session, inbox: Inbox) -> None:
        self._stirred.discard(inbox)
        self._soon.pop(session, None)
        self._busy.pop(session, None)
        self.halting.forget(inbox)

    def return_all(self) -> None:
        """What is left stays here; who is on its way back comes by `came_back`."""
        sessions = self._shard.sessions
        for session in [*self._soon, *self._busy]:
            if sessions.get(session.id) is session:
                self._told.returned(session)
                self._says_hello(session.inbox)
                self.halting.go_on(session)
        self._soon.clear()
        self._busy.clear()
