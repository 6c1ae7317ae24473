"""`Journal`: counts what becomes of a shard's clients and callbacks, and logs it within limits.

Made by the shard. Whoever refuses, cuts off or is raised at tells it once; it decides what is a line and at which level. What
strangers can cause has a limit for each kind of line, so that none of them hides another. It never decides about a client.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from logging import DEBUG, INFO, WARNING, Logger
from typing import Any, Protocol

from wspulse.actors.journal.access import AccessLog, address_text, whose
from wspulse.actors.journal.losses import name_of_loss
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

_CUTS = {"stalled": "peers_stalled", "silent": "peers_silent", "closing": "peers_reset"}
"""Why a peer was cut off → what counts it."""


class Known(Protocol):
    """A connection, as this sees it."""

    @property
    def id(self) -> str: ...
    @property
    def request(self) -> Request: ...


class Journal:
    """See the module. `clock` is in seconds and monotonic. Each connection is told of where `wants_access_log`, at info, or where
    the logger tells what is for debugging."""

    def __init__(
        self, logger: Logger, metrics: Metrics, clock: Callable[[], float], *, wants_access_log: bool = False
    ) -> None:
        self._logger = logger
        self.access: AccessLog | None = None
        if wants_access_log:
            self.access = AccessLog(logger.getChild("access"), INFO)
        elif logger.isEnabledFor(DEBUG):
            self.access = AccessLog(logger, DEBUG)
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
        if not_logged is None and self.access is None:
            return
        fields = {"status": status, "reason": shortened(answer.text), **whose(head, address)}
        if connection_id:
            fields["connection_id"] = connection_id
        if status == 403 and head is not None:
            fields["origin"] = shortened(Request(head, address).headers.get("origin", ""))
        if self.access is not None:
            self.access.refused(fields)
        if not_logged is not None:
            self._logger.warning("a request was refused", extra={**fields, "not_logged": not_logged})

    def no_http(self, is_tls: bool, address: tuple[str, int] | None) -> None:
        """A connection was closed at once, since what came begins no request."""
        self._metrics.no_http += 1
        text = (
            "a TLS client connected to a port without TLS" if is_tls else "a connection sent something other than HTTP"
        )
        not_logged = self._limits[text].admit(self._clock()) if is_tls else None
        level = DEBUG if not_logged is None else WARNING
        if self._logger.isEnabledFor(level):
            extra: dict[str, Any] = {"remote_address": address_text(address)}
            if not_logged is not None:
                extra["not_logged"] = not_logged
            self._logger.log(level, text, extra=extra)

    def not_introduced(self, reason: str, address: tuple[str, int] | None) -> None:
        """A connection was closed at once, since it did not begin with a PROXY header, or with one that counts."""
        self._metrics.not_introduced += 1
        text = "a connection did not begin with a PROXY header from a trusted proxy"
        not_logged = self._limits[text].admit(self._clock())
        if not_logged is not None:
            extra = {"remote_address": address_text(address), "reason": reason, "not_logged": not_logged}
            self._logger.warning(text, extra=extra)

    def protocol_broken(self, connection_id: str, error: ProtocolError, max_message_size: int) -> None:
        """A client is cut off since it broke the protocol, or sent too much."""
        if error.close_code == _TOO_BIG:
            self._metrics.messages_too_big += 1
            text = "a message is larger than max_message_size; its connection is closed with 1009"
            fields: dict[str, Any] = {"message_bytes": error.message_bytes, "max_message_size": max_message_size}
        else:
            self._metrics.protocol_errors += 1
            text = "a client broke the protocol; its connection is closed"
            fields = {"close_code": error.close_code, "reason": error.reason}
        not_logged = self._limits[text].admit(self._clock())
        if not_logged is not None:
            self._logger.warning(text, extra={"connection_id": connection_id, **fields, "not_logged": not_logged})

    def peer_cut(self, why: str, connection_id: str) -> None:
        """A peer is given up since it took nothing or said nothing. The id is empty where its session has let it go."""
        name = _CUTS[why]
        setattr(self._metrics, name, getattr(self._metrics, name) + 1)
        not_logged = self._limits[name].admit(self._clock())
        if not_logged is not None:
            extra: dict[str, Any] = {"connection_id": connection_id} if connection_id else {}
            self._logger.warning("a peer was cut off", extra={**extra, "reason": why, "not_logged": not_logged})

    def session_ended(self, ending: str | None, error: BaseException | None) -> None:
        """A session has ended: by `ending`, or with its transport, of which `error` says why it was lost."""
        name = f"ended_{ending or name_of_loss(error)}"
        setattr(self._metrics, name, getattr(self._metrics, name) + 1)

    def accepts_limited(self) -> None:
        """Nobody is accepted for a moment, since so many were."""
        self._metrics.limited_accept_rate += 1
        not_logged = self._limits["accepts"].admit(self._clock())
        if not_logged is not None:
            text = "connections arrive faster than accept_rate; they wait in the kernel's queue"
            self._logger.warning(text, extra={"not_logged": not_logged})

    def rooms_limited(self, connection: Known) -> None:
        """A connection may not join one room more."""
        self._metrics.limited_rooms += 1
        self._limited(connection, "a connection tried to join more rooms than max_rooms_per_connection allows")

    def reading_delayed(self, connection: Known) -> None:
        """A client sends more than it may, and is read more slowly."""
        self._metrics.limited_reading += 1
        self._limited(connection, "a client exceeds its rate limit and is read more slowly")

    def too_many_messages(self, connection: Known) -> None:
        """It did so for too long."""
        self._metrics.limited_messages += 1
        self._limited(connection, "a client exceeded its rate limit for too long and is closed with 1008")

    def _limited(self, connection: Known, text: str) -> None:
        not_logged = self._limits[text].admit(self._clock())
        if not_logged is not None:
            address = address_text(connection.request.remote_address)
            extra = {"connection_id": connection.id, "remote_address": address, "not_logged": not_logged}
            self._logger.warning(text, extra=extra)

    def rest_dropped(self, connection_id: str) -> None:
        """Lost transports have left too much to a handler that is behind."""
        self._metrics.frames_in_dropped += 1
        not_logged = self._limits["rest"].admit(self._clock())
        if not_logged is not None:
            self._logger.warning(
                "a frame from a lost transport was dropped; the session's handler is too far behind",
                extra={"connection_id": connection_id, "not_logged": not_logged},
            )

    # The application.

    def connect_raised(self, error: BaseException, request: Request) -> None:
        """`connect` or `check_origin` raised, or gave what is no identity; a client may well be able to cause that."""
        not_logged = self._limits["connect"].admit(self._clock())
        if not_logged is not None:
            extra = {**whose(request.head, request.remote_address), "not_logged": not_logged}
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

    def handler_is_slow(self, callback: str, event: str, connection_id: str, slow_handler_s: float) -> None:
        self._metrics.slow_handlers += 1
        not_logged = self._limits["slow"].admit(self._clock())
        if not_logged is not None:
            extra = {
                "callback": callback,
                "event": shortened(event),
                "connection_id": connection_id,
                "slow_handler_s": slow_handler_s,
                "not_logged": not_logged,
            }
            self._logger.warning(
                "a handler is running longer than slow_handler; the next frames of its connection wait", extra=extra
            )

    def answer_dropped(self, connection_id: str) -> None:
        """A client answered a call late, twice, or one that was never made."""
        self._metrics.answers_dropped += 1
        not_logged = self._limits["answer"].admit(self._clock())
        if not_logged is not None:
            extra = {"connection_id": connection_id, "not_logged": not_logged}
            self._logger.debug("an answer was dropped because no call waits for it", extra=extra)

    def handler_refuses(self, connection_id: str, event: str) -> None:
        """An on_message was cancelled and does not end."""
        not_logged = self._limits["refuses"].admit(self._clock())
        if not_logged is not None:
            self._logger.error(
                "a handler does not react to being cancelled; until it ends, no callback runs for its connection id",
                extra={"event": shortened(event), "connection_id": connection_id, "not_logged": not_logged},
            )

    def outlived(self, callback: str, connection_id: str) -> None:
        """A callback sent to its own session, which had ended meanwhile."""
        self._logger.debug(
            "a callback sent to its own session after that had ended",
            extra={"callback": callback, "connection_id": connection_id},
        )
