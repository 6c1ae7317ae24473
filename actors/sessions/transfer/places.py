"""A moving session's place in its shard: out of the tables and into them, and its callbacks again.

Called by whoever moves sessions, each in one step of the shard with what it does to rooms and sockets.
"""

from __future__ import annotations

from collections import deque

from wspulse.actors.sessions.inbox import Callback, Inbox
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard

__all__ = ["call_first", "forget", "go_on", "take_in", "take_out"]


def take_out(shard: Shard, session: Session) -> None:
    """Nobody finds it any more; the shard is not quiet without it."""
    del shard.sessions[session.id]


def take_in(shard: Shard, session: Session) -> None:
    shard.sessions[session.id] = session
    shard.unfinished.add(session.inbox)


def forget(shard: Shard, inbox: Inbox) -> None:
    """No callback of it runs here any more."""
    shard.unfinished.discard(inbox)
    shard.look_if_quiet()


def call_first(inbox: Inbox, kind: str) -> None:
    """Have a callback run before what waits."""
    if inbox._mailbox is None:
        inbox._mailbox = deque()
    inbox._mailbox.appendleft(Callback(kind))


def go_on(inbox: Inbox) -> None:
    """Have what waits handled."""
    if inbox._mailbox:
        inbox._run_soon()
