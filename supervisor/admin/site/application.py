"""`AdminApplication`: what the admin address serves, as an ASGI application.

    /                    the operator's page, and its files
    /metrics             what Prometheus collects
    /live  /ready        for probes: the supervisor answers; every worker serves and nothing is amiss
    /api/access          what this client may do
    /api/look            a text/event-stream: the server, once a second
    /api/connections     the connections that a text finds, or that are in a room
    /api/<order>         POST: kick, broadcast, reload, restart, scale

Made by `serving`, and served by uvicorn. It learns all of it as a client of the control socket. Whatever many may ask is
asked once for all, what is asked for has a deadline, and a body has a size.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from asyncio import sleep
from collections.abc import Mapping
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from wspulse.actors.values.asgi import Receive, Scope, Send
from wspulse.actors.values.errors import ControlError
from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.admin.site.access import Access, WrongTokenError
from wspulse.supervisor.admin.site.answers import Answer, failure, json_answer, plain
from wspulse.supervisor.admin.site.assets import load_assets
from wspulse.supervisor.admin.site.exposition import expose
from wspulse.supervisor.admin.site.health import reasons_against
from wspulse.supervisor.admin.site.looking.live import Live, TooManyViewersError
from wspulse.supervisor.admin.site.looking.search import find_connections
from wspulse.supervisor.admin.site.orders import Orders
from wspulse.supervisor.admin.site.shared_call import SharedCall
from wspulse.supervisor.client.asynchronous import AsyncControl
from wspulse.supervisor.protocol.calls import calls
from wspulse.supervisor.protocol.types import ServerStats

__all__ = ["AdminApplication"]

ANSWER_S = 4.0
"""A server that has not answered by then is not well; probes wait no longer."""

MOST_BODY_BYTES = 64 * 1024
BODY_S = 10.0
MOST_QUERY_LETTERS = 1024

WRONG_TOKEN_S = 1.0
MOST_WRONG_TOKENS = 16
"""That wait at once: of one who tries tokens, some a second are looked at. The right one never waits."""

LOOK_S = 30.0
"""A viewer that has heard nothing for so long is told to come again."""

ORDER = "/api/"

_logger = logging.getLogger("wspulse.supervisor")


class AdminApplication:
    """See the module. `close` when nothing is served any more."""

    def __init__(self, control: AsyncControl, access: Access) -> None:
        self._control = control
        self._access = access
        self._assets = load_assets()
        self._orders = Orders(control)
        self._alive = SharedCall(lambda: control.call(calls.ping(), ANSWER_S), 0.2, 1.0)
        self._stats: SharedCall[ServerStats] = SharedCall(lambda: control.call(calls.stats(), ANSWER_S), 0.5, 2.0)
        self._metrics = SharedCall(lambda: control.call(calls.metrics(), ANSWER_S), 0.5, 5.0)
        self._connections = SharedCall(control.connections, 1.0, 30.0)
        self._live = Live(control, self._stats)
        self._wrong_tokens = 0
        self._limit = LogLimit()

    async def close(self) -> None:
        await self._live.close()
        for shared in (self._alive, self._stats, self._metrics, self._connections):
            await shared.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        if path.startswith(ORDER):
            try:
                answer = await self._answer_program(path, scope, headers, receive, send)
            except WrongTokenError:
                answer = await self._answer_wrong_token(_client(scope))
        else:
            answer = await self._answer_anybody(path, scope["method"], headers)
        if answer is not None:
            await answer.send(send)

    # For everybody who can reach the address.

    async def _answer_anybody(self, path: str, method: str, headers: Mapping[str, str]) -> Answer:
        asset = self._assets.get(path)
        if asset is None and path not in ("/metrics", "/live", "/ready"):
            return plain(404, "not found")
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD")
        if asset is not None:
            return asset.answer(headers)
        try:
            match path:
                case "/live":
                    await self._alive.get()
                    return plain(200, "ok")
                case "/ready":
                    reasons = reasons_against(await self._stats.get())
                    return plain(503, "\n".join(reasons)) if reasons else plain(200, "ok")
                case _:
                    body, content_type = expose(await self._metrics.get(), headers.get("accept", ""))
                    return Answer(200, body, content_type)
        except ControlError as error:
            return plain(503, str(error).removeprefix("wspulse: "))

    # For the page, and programs.

    async def _answer_program(
        self, path: str, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> Answer | None:
        """None: it is answered."""
        name, method = path.removeprefix(ORDER), scope["method"]
        if self._orders.is_known(name):
            if method != "POST":
                return _not_allowed("POST")
            refusal = self._access.against_changing(headers)
            return refusal or await self._carry_out(name, scope, receive)
        if name not in ("access", "look", "connections"):
            return failure(404, "not_found", "not found")
        if method != "GET":
            return _not_allowed("GET")
        if name == "access":
            return self._answer_access(headers)
        if (refusal := self._access.against_reading(headers)) is not None:
            return refusal
        if name == "connections":
            return await self._find(scope["query_string"])
        try:
            async with self._live.view() as view:
                await self._show(view.next, receive, send)
        except TooManyViewersError:
            return failure(503, "busy", "too many viewers")
        return None

    def _answer_access(self, headers: Mapping[str, str]) -> Answer:
        """What this client may do, so that the page offers nothing else. Raises WrongTokenError."""
        access = self._access
        return json_answer(
            {
                "reads": access.may_read(headers),
                "changes": access.is_known(headers),
                "has_token": access.has_token,
            }
        )

    async def _find(self, query: bytes) -> Answer:
        if len(query) > MOST_QUERY_LETTERS:
            return failure(400, "bad_request", f"at most {MOST_QUERY_LETTERS} letters")
        asked = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        try:
            connections = await self._connections.get()
        except ControlError as error:
            return failure(503, error.error_code, str(error))
        text = asked.get("text", [""])[0].strip()
        rooms = asked.get("room")
        found = find_connections(connections, text, rooms[0] if rooms else None)
        return json_answer({**found, "missing_shards": connections.missing_shards})

    async def _show(self, following: Any, receive: Receive, send: Send) -> None:
        """A stream of looks, until its client has gone. One that takes nothing is cut off below (`guarded`)."""
        await Answer(200, content_type="text/event-stream").begin(send, length=False)
        gone = asyncio.create_task(_end_of(receive))
        looking: asyncio.Task[bytes] | None = None
        try:
            while not gone.done():
                looking = asyncio.create_task(following())
                done, _ = await asyncio.wait({gone, looking}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if looking not in done or gone in done:
                    break
                await send({"type": "http.response.body", "body": looking.result(), "more_body": True})
        finally:
            tasks = [task for task in (gone, looking) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})

    async def _carry_out(self, name: str, scope: Scope, receive: Receive) -> Answer:
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(receive)
        except TimeoutError:
            return failure(408, "bad_request", "the request did not arrive in time")
        if body is None:
            return failure(413, "bad_request", f"at most {MOST_BODY_BYTES} bytes")
        return await self._orders.carry_out(name, body, _client(scope))

    async def _answer_wrong_token(self, client: str) -> Answer:
        if (not_logged := self._limit.admit(monotonic())) is not None:
            fields = {"client": client, "not_logged": not_logged}
            _logger.warning("the admin address was sent a wrong token", extra=fields)
        if self._wrong_tokens >= MOST_WRONG_TOKENS:
            return failure(429, "busy", "too many wrong tokens; try again")
        self._wrong_tokens += 1
        try:
            await sleep(WRONG_TOKEN_S)
        finally:
            self._wrong_tokens -= 1
        return failure(401, "token_wrong", "wrong token")


def _client(scope: Scope) -> str:
    """Where a request came from."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


async def _body(receive: Receive) -> bytes | None:
    """None: it is too long. What comes of a client that has gone is read as nothing."""
    body: bytes = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            return None
        if not event.get("more_body", False):
            return body


async def _end_of(receive: Receive) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass


def _not_allowed(methods: str) -> Answer:
    return plain(405, "method not allowed", [("Allow", methods)])
