"""Whose an exact session is: the client's that shows its token, and nobody else's (doc/reference/protocol.md).

Asked by the admission, in the one step in which a newcomer becomes something.
"""

from __future__ import annotations

from collections.abc import Mapping

from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.exact.token import id_in
from wspulse.actors.sessions.session import Session
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.text.exact import SUBPROTOCOL, Claim

__all__ = ["id_of_owner", "is_strange_to", "session_claimed"]


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


def is_strange_to(session: Session, upgrade: Upgrade) -> bool:
    """Whether a newcomer that is not the session's own client can have nothing of it: one of the two is exact."""
    return isinstance(session, ExactSession) or upgrade.subprotocol == SUBPROTOCOL
