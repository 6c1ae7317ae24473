"""Whose a session is that a newcomer asks for: an exact one is the client's that shows its token, and nobody else's
(doc/reference/protocol.md); of others the application's `on_duplicate` decides.

Asked by the admission, in the one step in which a newcomer becomes something; and by the shard that has a session, where the
newcomer is another host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.exact.token import id_in
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.state import SessionEvent, SessionState
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.errors import ConnectionLostError, DuplicateConnectionIDError
from wspulse.actors.values.text.exact import SUBPROTOCOL, Claim

__all__ = ["Way", "id_of_owner", "is_strange_to", "make_way", "session_claimed"]


class Way(Enum):
    """What a newcomer finds where its id is in use."""

    CLOSED = "it is refused"
    FREE = "the session has ended for it"
    ITS_OWN = "the session is to be its own"


def session_claimed(sessions: Mapping[str, Session], upgrade: Upgrade) -> ExactSession | None:
    """The session whose own client this is: of the id that the application has named, else of the token's."""
    claim = upgrade.claim
    if claim is None or upgrade.subprotocol != SUBPROTOCOL:
        return None
    connection_id = id_in(claim.token) if claim.is_nameless else upgrade.connection_id
    session = None if connection_id is None else sessions.get(connection_id)
    return session if isinstance(session, ExactSession) and session.is_of(claim) else None


def id_of_owner(connection_id: str, claim: Claim | None) -> str:
    """By which id it is decided where a newcomer belongs: where the client's token alone says who it is, that of the token."""
    if claim is None or not claim.is_nameless:
        return connection_id
    return id_in(claim.token) or connection_id


def is_strange_to(session: Session, *, is_exact: bool) -> bool:
    """Whether a newcomer that is not the session's own client can have nothing of it: one of the two is exact."""
    return is_exact or isinstance(session, ExactSession)


def make_way(old: Session, *, is_own: bool, is_exact: bool, on_duplicate: str) -> Way:
    """Whether a newcomer takes an id that is in use, in one step. `is_own` says that it is the session's own client, `is_exact`
    that it speaks the protocol of exact sessions. A session that it does not take over has ended then."""
    if is_own:
        return Way.ITS_OWN
    if old.transport is not None and old.transport.half_closed:
        # Its peer has ended, and only waits for answers that are still due: it is no duplicate of anybody.
        old.transport.hand_over_rest()
        old.transport_failed(ConnectionLostError(), CloseReason.DUPLICATE)
        if old.state is SessionState.CLOSED:
            return Way.FREE
    is_strange = is_strange_to(old, is_exact=is_exact)
    if old.state is SessionState.CONNECTED:
        if on_duplicate == "reject":
            return Way.CLOSED
        if on_duplicate == "kick" or is_strange or not old.outlives_transport:
            # One that waits for nobody would have ended with its transport: nobody takes it over.
            old.apply(SessionEvent.DUPLICATE, error=DuplicateConnectionIDError(old.id), close=CloseReason.DUPLICATE)
            return Way.FREE
    elif is_strange:
        # It waits for its own client, and this is not that one.
        old.apply(SessionEvent.DUPLICATE, error=DuplicateConnectionIDError(old.id))
        return Way.FREE
    return Way.ITS_OWN
