"""The token of an exact session: what its client shows to have it again, and nobody else can guess. It says of which id it is."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hmac import compare_digest
from secrets import token_urlsafe

__all__ = ["id_in", "is_same_token", "new_token"]

_SECRET_BYTES = 16
_SECRET_CHARS = 22


def new_token(connection_id: str) -> str:
    """A secret of 128 bits, and the id: of letters, digits, - and _ alone, as a subprotocol's name needs it."""
    return token_urlsafe(_SECRET_BYTES) + urlsafe_b64encode(connection_id.encode()).decode().rstrip("=")


def id_in(token: str) -> str | None:
    """The id that a token, which anybody may have made up, is said to be of; None where it says nothing."""
    name = token[_SECRET_CHARS:]
    try:
        return urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode() or None
    except (Error, ValueError):
        return None


def is_same_token(token: str, shown: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return compare_digest(token.encode(), shown.encode())
