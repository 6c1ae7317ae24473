"""`Journal`: counts what becomes of a shard's clients and callbacks, and logs it within limits.

Made by the shard. Whoever refuses, cuts off or is raised at tells it once; it decides what is a line and at which level. What
strangers can cause has a limit for each kind of line, so that none of them hides another. It never decides about a client.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from logging import DEBUG, WARNING, Logger
from typing import Any

from wspulse.actors.values.errors import ProtocolError
from wspulse.actors.values.log_limit import LogLimit, shortened
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.request import Request
from wspulse.actors.wire.answer import HTTPAnswer

__all__ = ["Journal"]

_OPERATORS = frozenset({403, 404, 409, 429, 503})
"""Refusals that tell the operator something: of an origin or a path that was not thought of, of ids that collide, of limits, of
workers that are not there. Bad tokens (401) and bad requests are the clients' matter; behind a 500 stands an error of its own."""

_TOO_BIG = 1009


class Journal:
    """See the module. `clock` is in seconds and monotonic."""

    def __init__(self, logger: Logger, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._metrics = metrics
        self._clock = clock
        self._limits: defaultdict[str, LogLimit] = defaultdict(LogLimit)
        """By the kind of line: a few names of ours, never a client's."""
        self.is_ending = False
        """Whether the shard ends, and with it refuses everybody."""

    # Clients.

    def refused(
        self, answer: HTTPAnswer, head: bytes | None, address: tuple[str, int] | None, connection_id: str = ""
    ) -> None:
        """A request was answered `answer`. `head` is what has come of its head, None where that is not known."""
        status = answer.status
        metrics = self._metrics
        metrics.upgrades_refused += 1
        name = f"refused_{status}"
        if not hasattr(metrics, name):
            name = "refused_other"
        setattr(metrics, name, getattr(metrics, name) + 1)
        if head == b"":
            # Whoever looks which ports are open says nothing, and nothing is to be said of that.
            return
        is_operators = status in _OPERATORS and not (status == 503 and self.is_ending)
        not_logged = self._limits[name].admit(self._clock()) if is_operators else None
        level = DEBUG if not_logged is None else WARNING
        if self._logger.isEnabledFor(level):
            extra = {"status": status, "reason": shortened(answer.text), **_whose(head, address)}
            if connection_id:
                extra["connection_id"] = connection_id
            if status == 403 and head is not None:
                extra["origin"] = shortened(Request(head, address).headers.get("origin", ""))
            if not_logged is not None:
                extra["not_logged"] = not_logged
            self._logger.log(level, "a request was refused", extra=extra)

    def no_http(self, is_tls: bool, address: tuple[str, int] | None) -> None:
        """A connection was closed at once, since what came begins no request."""
        self._metrics.no_http += 1
        text = "a TLS client spoke to a port without TLS" if is_tls else "a connection began with what is no HTTP"
        not_logged = self._limits[text].admit(self._clock()) if is_tls else None
        level = DEBUG if not_logged is None else WARNING
        if self._logger.isEnabledFor(level):
            extra: dict[str, Any] = {"remote_address": _address_text(address)}
            if not_logged is not None:
                extra["not_logged"] = not_logged
            self._logger.log(level, text, extra=extra)

    def protocol_broken(self, connection_id: str, error: ProtocolError, max_message_size: int) -> None:
        """A client is cut off since it broke the protocol, or sent too much."""
        if error.close_code == _TOO_BIG:
            self._metrics.messages_too_big += 1
            text = "a message was over max_message_size, and its connection is closed with 1009"
            fields: dict[str, Any] = {"message_bytes": error.message_bytes, "max_message_size": max_message_size}
        else:
            self._metrics.protocol_errors += 1
            text = "a client broke the protocol, and its connection is closed"
            fields = {"close_code": error.close_code, "reason": error.reason}
        not_logged = self._limits[text].admit(self._clock())
        if not_logged is not None:
            self._logger.warning(text, extra={"connection_id": connection_id, **fields, "not_logged": not_logged})

    # The application.

    def connect_raised(self, error: BaseException, request: Request) -> None:
        """`connect` or `check_origin` raised, or gave what is no identity; a client may well be able to cause that."""
        not_logged = self._limits["connect"].admit(self._clock())
        if not_logged is not None:
            extra = {**_whose(request.head, request.remote_address), "not_logged": not_logged}
            self._logger.error("connect or check_origin raised", exc_info=error, extra=extra)

    def callback_raised(self, callback: str, connection_id: str, room_id: str, error: BaseException) -> None:
        self._metrics.callbacks_raised += 1
        not_logged = self._limits[callback].admit(self._clock())
        if not_logged is not None:
            extra = {
                "callback": callback,
                "connection_id": connection_id,
                "room_id": room_id,
                "not_logged": not_logged,
            }
            self._logger.error("callback raised", exc_info=error, extra=extra)

    def outlived(self, callback: str, connection_id: str) -> None:
        """A callback sent to its own session, which had ended meanwhile."""
        self._logger.debug(
            "a callback sent to its own session, which had ended",
            extra={"callback": callback, "connection_id": connection_id},
        )


def _whose(head: bytes | None, address: tuple[str, int] | None) -> dict[str, Any]:
    """Whose request it is. Its query is left out: it may hold a token."""
    path = None if head is None else shortened(Request(head, address).path)
    return {"path": path, "remote_address": _address_text(address)}


def _address_text(address: tuple[str, int] | None) -> str | None:
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
