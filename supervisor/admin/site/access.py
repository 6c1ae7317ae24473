"""`Access`: who may read what the operator's page shows, and who may change something.

Made by the application, which asks it at each request to `/api/`. Health, metrics and the page itself are for everybody who can
reach the address: they name nobody. What names connections and rooms may be read without a token only on this machine, by a name
of this machine, so that no site whose name leads here by a trick can read it in the operator's browser; anything may be changed
only with the token. It knows no socket: a wrong token's delay is the caller's to wait.
"""

from __future__ import annotations

from collections.abc import Mapping

from wspulse.supervisor.admin.site.answers import Answer, failure
from wspulse.supervisor.admin.token_file import TokenFile
from wspulse.supervisor.settings.admin_address import is_loopback

__all__ = ["Access", "WrongTokenError"]

_BEARER = "bearer "


class WrongTokenError(Exception):
    """A token was shown, and is not the one."""


class Access:
    """See the module. `is_local`: the address can be reached from this machine only."""

    def __init__(self, token: TokenFile | None, *, is_local: bool) -> None:
        self._token = token
        self._is_local = is_local

    @property
    def has_token(self) -> bool:
        return self._token is not None

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Whether the token is shown. Raises WrongTokenError."""
        given = headers.get("authorization", "")
        if not given or self._token is None:
            return False
        if not given.lower().startswith(_BEARER) or not self._token.matches(given[len(_BEARER) :].strip()):
            raise WrongTokenError
        return True

    def may_read(self, headers: Mapping[str, str]) -> bool:
        """Raises WrongTokenError."""
        return self.is_known(headers) or (self._is_local and is_loopback(_host(headers)))

    def against_reading(self, headers: Mapping[str, str]) -> Answer | None:
        """The refusal, if there is one. Raises WrongTokenError."""
        if _is_foreign(headers):
            return failure(403, "foreign", "requests from pages of other origins are not allowed")
        if self.may_read(headers):
            return None
        if not self.has_token:
            return failure(
                403,
                "foreign",
                "without --admin-token-file this is available only on this machine, at localhost or 127.0.0.1",
            )
        return failure(401, "token_missing", "send the token: Authorization: Bearer <token>")

    def against_changing(self, headers: Mapping[str, str]) -> Answer | None:
        """The same of what changes something. Raises WrongTokenError."""
        if _is_foreign(headers):
            return failure(403, "foreign", "requests from pages of other origins are not allowed")
        if not self.has_token:
            return failure(
                403, "read_only", "this page is read-only: the server was started without --admin-token-file"
            )
        if not self.is_known(headers):
            return failure(401, "token_missing", "send the token: Authorization: Bearer <token>")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return failure(415, "bad_request", "the body must be JSON, with Content-Type: application/json")
        return None


def _host(headers: Mapping[str, str]) -> str:
    """Without the port."""
    host = headers.get("host", "")
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a page of another origin asks. Programs that are no browsers send neither field."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host", "")
