"""`Journal`: counts what becomes of a shard's clients and callbacks, and logs it within limits.

Made by the shard. Whoever refuses, cuts off or is raised at tells it once; it decides what is a line and at which level. What
strangers can cause has a limit for each kind of line, so that none of them hides another. It never decides about a client.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from logging import Logger
from typing import Any

from wspulse.actors.values.log_limit import LogLimit, shortened
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.request import Request

__all__ = ["Journal"]


class Journal:
    """See the module. `clock` is in seconds and monotonic."""

    def __init__(self, logger: Logger, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._metrics = metrics
        self._clock = clock
        self._limits: defaultdict[str, LogLimit] = defaultdict(LogLimit)
        """By the kind of line: a few names of ours, never a client's."""

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


def _whose(head: bytes, address: tuple[str, int] | None) -> dict[str, Any]:
    """Whose request it is. Its query is left out: it may hold a token."""
    request = Request(head, address)
    return {"path": shortened(request.path), "remote_address": _address_text(address)}


def _address_text(address: tuple[str, int] | None) -> str | None:
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
