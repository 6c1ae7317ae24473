"""`Dialer`: makes a connection to a line's address, or says why there is none.

A line has one and asks it for one connection after the other. It keeps nothing of them; what the connection is for, it does not
know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from wspulse.actors.client.clock import Clock
from wspulse.actors.client.ending import LOST, End
from wspulse.actors.client.handling.cancellation import is_cancelled
from wspulse.actors.values.awaitable import result_of
from wspulse.actors.values.log_limit import shortened

__all__ = ["OPENING_S", "Dialer", "UndialledError", "Url", "websocket_url"]

OPENING_S = 10.0
"""For the address, the upgrade, and then as long for the first frame."""

Url = str | Callable[[], str | Awaitable[str]]
"""Where to connect to, or what says it, each time anew: with a fresh token, say."""

_SILENT = logging.Logger("wspulse.client", logging.CRITICAL + 1)  # noqa: LOG001
"""What is to be said is told to handlers. It is in no tree of loggers."""


class UndialledError(Exception):
    """There is no connection. `kind` names what the program is told of, "" where the state says enough."""

    def __init__(self, end: End, kind: str = "") -> None:
        super().__init__(end.reason)
        self.end = end
        self.kind = kind


class Dialer:
    """`options` go to `websockets.asyncio.client.connect` as they are: additional_headers, ssl, proxy, max_size, …"""

    def __init__(self, url: Url, subprotocols: Sequence[str], options: Mapping[str, Any], clock: Clock) -> None:
        self._url = url
        self._subprotocols = tuple(subprotocols)
        options = {
            "compression": None,
            "close_timeout": 3.0,
            "ping_interval": None,  # the line watches by itself: it knows when it does not read
            "max_size": 16 << 20,
            "logger": _SILENT,
            **options,
        }
        self._opening_s: float | None = options.pop("open_timeout", OPENING_S)
        self._options = options
        self._clock = clock

    async def dial(self, offers: Sequence[str]) -> ClientConnection:
        """A connection, for which `offers` and the program's own subprotocols were offered. Raises UndialledError; and what is
        the program's fault: TypeError and ValueError."""
        limit = self._clock.timeout(self._opening_s)
        try:
            async with limit:
                url = await self._address()
                names = [Subprotocol(name) for name in (*offers, *self._subprotocols)]
                return await open_websocket(url, subprotocols=names or None, open_timeout=None, **self._options)
        except InvalidStatus as error:
            answer = error.response
            text = (answer.body or b"").decode("utf-8", "replace").strip()
            reason = shortened(f"refused with {answer.status_code}: {text}".rstrip(": "))
            raise UndialledError(End(LOST, reason, answer.status_code, error)) from None
        except (OSError, EOFError, WebSocketException) as error:
            if limit.expired():  # the network has TimeoutErrors of its own
                raise UndialledError(End(LOST, "no answer in time", error=error), "opening") from None
            raise UndialledError(_end_of(error)) from None
        except ValueError as error:
            if not _is_of_an_answer(error):
                raise
            raise UndialledError(_end_of(error)) from None

    async def _address(self) -> str:
        if isinstance(self._url, str):
            return websocket_url(self._url)
        try:
            url = await result_of(self._url())
            if not isinstance(url, str):
                raise TypeError(f"wspulse: the url must be a str, not {type(url).__name__}")
            url = websocket_url(url)
            parse_uri(url)
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled(error):
                raise
            raise UndialledError(_end_of(error), "url") from None
        return url


def _end_of(error: BaseException) -> End:
    return End(LOST, shortened(str(error) or type(error).__name__), error=error)


def _is_of_an_answer(error: ValueError) -> bool:
    """Whether what the server says is no HTTP. Before version 14.2 `websockets` raises that as it raises wrong options."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_globals.get("__name__") == "websockets.http11"


def websocket_url(url: str) -> str:
    """The address of a page is as good as that of a socket."""
    for scheme, its in (("http://", "ws://"), ("https://", "wss://")):
        if url[: len(scheme)].lower() == scheme:
            return its + url[len(scheme) :]
    return url
