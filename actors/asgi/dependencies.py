"""`with_dependencies`: a `connect` whose parameters FastAPI fills in, as it does those of a route.

The function becomes a dependency of a route that is put in front of the application's others and that only the requests made here
reach: one GET per upgrade, with the upgrade's own path, query and headers, through the application as it is. So its middleware,
exception handlers and `dependency_overrides` count, whether it is carried or the server is mounted in it. It knows no session.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec
from fastapi import Depends, FastAPI, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import Match

from wspulse.actors.accept.origins import reads_cookies
from wspulse.actors.values.asgi import Event, Scope
from wspulse.actors.values.errors import ConnectRejected
from wspulse.actors.values.request import SECURE, Request

__all__ = ["with_dependencies"]

_ASKED: Final = "wspulse.connect"
"""Of a scope: the question that this request is. Nobody can send it over a network."""

_NOT_FOR_DEPENDENCIES: Final = ("accept-encoding", "connection", "upgrade")
"""What asks for an upgrade, or for an answer that is compressed: its text is to be read here."""

_OF_THE_ANSWER: Final = (
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "transfer-encoding",
    "upgrade",
)
"""Headers that tell of the application's own answer, where ours has another body."""


class _Question:
    """One asking of the application, and its answer."""

    def __init__(self, door: _Door) -> None:
        self.door = door
        self.identity: Any = None
        self.is_answered = False
        self.status = 0
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self.body = b""
        self._has_asked = False

    async def receive(self) -> Event:
        """A request without a body, whose client waits for as long as it takes."""
        if self._has_asked:
            await asyncio.get_running_loop().create_future()
        self._has_asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self.status, self.headers = event["status"], event.get("headers", ())
        elif event["type"] == "http.response.body":
            self.body += event.get("body", b"")


class _Admitted(Response):
    """What the route answers: it hands on what `connect` returned, which no response could say."""

    def __init__(self, identity: Any) -> None:
        super().__init__(status_code=204)
        self._identity = identity

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        question: _Question = scope[_ASKED]
        question.identity, question.is_answered = self._identity, True
        await super().__call__(scope, receive, send)


class _Door(APIRoute):
    """The route that the questions of one `connect` take, whatever their path; others pass it by."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        question = scope.get(_ASKED)
        if question is None or question.door is not self:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": {}, "route": self}


class _Resolved:
    """A `connect` as the server wants it: of a request."""

    def __init__(self, app: FastAPI, door: _Door) -> None:
        self._app = app
        self._door = door

    @property
    def reads_cookies(self) -> bool:
        """Whether it, or what it depends on, looks at cookies: then a foreign page may act in the name of its visitor."""
        return _reads_cookies(self._door.dependant)

    async def __call__(self, request: Request) -> Any:
        question = _Question(self._door)
        await self._app(_scope_of(request, question), question.receive, question.send)
        if question.is_answered:
            return question.identity
        if not 400 <= question.status <= 599:
            raise RuntimeError(
                f"wspulse: with_dependencies: the application answered {question.status} instead of connect"
            )
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in question.headers]
        raise ConnectRejected(
            _text_of(question.body),
            question.status,
            [(name, value) for name, value in headers if name.lower() not in _OF_THE_ANSWER],
        )


def with_dependencies(app: FastAPI) -> Callable[[Callable[..., Any]], Callable[[Request], Awaitable[Any]]]:
    """Make a `connect` of a function that is written like a route of `app`: its parameters are query parameters, headers,
    cookies, `fastapi.Request`, and whatever `Depends` names.

        @server.connect
        @with_dependencies(app)
        async def connect(user: Annotated[str, Depends(current_user)], room: str = "lobby") -> tuple[str, str]:
            return room, user

    It returns what every `connect` returns. `app` is asked once per upgrade, as by a GET of its path, query and headers, with its
    middleware, exception handlers and `dependency_overrides`: where wspulse carries it (`http_app`), and where the server is
    mounted in it. A function that is not async runs in a thread, as a route's does. A dependency that yields is
    closed before the upgrade is answered.

    What would refuse that GET refuses the upgrade: HTTPException(401, "sign in first") becomes a 401 with the text as the body
    and its headers; a parameter that is missing or wrong, 422. ConnectRejected does what it always does. Any other answer that is
    not the function's own, such as a redirection by a middleware, is logged and becomes a 500. Headers that a dependency sets for
    the response are not sent: return `Accept(headers=...)`.
    """

    def decorate(connect: Callable[..., Any]) -> Callable[[Request], Awaitable[Any]]:
        async def admitted(identity: Any = Depends(connect)) -> Response:  # noqa: B008 - FastAPI's way to say it
            return _Admitted(identity)

        door = _Door(
            "/",
            admitted,
            methods=["GET"],
            response_model=None,
            dependencies=app.router.dependencies,
            dependency_overrides_provider=app,
            include_in_schema=False,
        )
        app.router.routes.insert(0, door)
        return _Resolved(app, door)

    return decorate


def _scope_of(request: Request, question: _Question) -> Scope:
    mounted = request.scope or {}
    target = request.head.partition(b"\r\n")[0].split(b" ")[1]
    headers = request.headers
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https" if request.scheme == SECURE else "http",
        "path": request.path,
        "raw_path": target.partition(b"?")[0],
        "query_string": target.partition(b"?")[2],
        "root_path": mounted.get("app_root_path", mounted.get("root_path", "")),
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name in headers
            if name not in _NOT_FOR_DEPENDENCIES
            for value in headers.getall(name)
        ],
        "client": request.remote_address,
        "server": mounted.get("server"),
        "state": dict(mounted.get("state") or {}),
        _ASKED: question,
    }


def _text_of(body: bytes) -> str:
    """FastAPI's own refusals are {"detail": ...}; others stay as they are."""
    try:
        detail = msgspec.json.decode(body, type=dict[str, Any])["detail"]
    except (msgspec.DecodeError, KeyError):
        detail = None
    return detail if isinstance(detail, str) else body.decode("utf-8", "replace")


def _reads_cookies(dependant: Dependant) -> bool:
    call = dependant.call
    code = getattr(inspect.unwrap(call), "__code__", None) if call is not None else None
    return (
        bool(dependant.cookie_params)
        or (call is not None and reads_cookies(call))
        or (code is not None and dependant.request_param_name is not None and "session" in code.co_names)
        or any(map(_reads_cookies, dependant.dependencies))
    )
