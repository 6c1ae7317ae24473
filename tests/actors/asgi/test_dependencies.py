"""`with_dependencies`: FastAPI fills in the parameters of `connect`, carried by the server and with the server mounted in it.

Annotations are not put off here: FastAPI could not read those that name what a test has defined.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, NamedTuple

import pytest
from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.security import APIKeyCookie, OAuth2PasswordBearer
from fastapi.testclient import TestClient
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse

from wspulse import Accept, Connection, ConnectRejected, Frame, Server
from wspulse.actors.accept.origins import reads_cookies
from wspulse.fastapi import with_dependencies
from wspulse.testing import UpgradeRefusedError, serve

bearer = OAuth2PasswordBearer("login")
"""A dependency that is written for HTTP and knows nothing of WebSockets."""


def current_user(token: Annotated[str, Depends(bearer)]) -> str:
    if token != "rabbit":
        raise HTTPException(403, "no such token", headers={"X-Token": "forged"})
    return "ann"


User = Annotated[str, Depends(current_user)]
RABBIT = {"Authorization": "Bearer rabbit"}


class Refused(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]


class Site:
    """An application and a server, together in one of the ways in which they may be."""

    def __init__(self, way: str) -> None:
        self.app = FastAPI()
        self.server = Server(http_app=self.app) if way == "carried" else Server()
        self.server.on_connect(self._hello)
        self.path = "/ws/" if way == "mounted" else "/ws"
        self._is_carried = way == "carried"
        if way == "mounted":
            self.app.mount("/ws", self.server.asgi())
        elif way == "route":
            self.app.router.routes.append(WebSocketRoute("/ws", self.server.asgi()))

    def connect(self, function: Callable[..., Any]) -> None:
        self.server.connect(with_dependencies(self.app)(function))

    async def ask(self, query: str = "", headers: dict[str, str] | None = None) -> Any:
        """[room, id] of the connection that a client gets, or the refusal."""
        headers = {"Accept-Encoding": "gzip, deflate", **(headers or {})}
        if not self._is_carried:
            return await asyncio.to_thread(self._ask_mounted, query, headers)
        async with serve(self.server) as running:
            try:
                pairs = [tuple(item.split("=")) for item in query.split("&") if item]
                client = await running.connect(query=pairs, headers=headers)  # type: ignore[arg-type]
            except UpgradeRefusedError as refusal:
                return Refused(refusal.status, refusal.text, _lower(refusal.headers))
            return (await client.expect("hello")).payload

    def _ask_mounted(self, query: str, headers: dict[str, str]) -> Any:
        with TestClient(self.app) as client:
            try:
                with client.websocket_connect(f"{self.path}?{query}", headers=headers) as websocket:
                    return websocket.receive_json()["payload"]
            except WebSocketDenialResponse as refusal:
                return Refused(refusal.status_code, refusal.text, _lower(refusal.headers))

    async def _hello(self, connection: Connection) -> None:
        await connection.send(Frame("hello", [connection.room_id, connection.id]))


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture(params=["carried", "mounted", "route"])
def site(request: pytest.FixtureRequest) -> Site:
    return Site(request.param)


async def test_parameters_are_filled_in_and_what_refuses_them_refuses_the_upgrade(site: Site) -> None:
    @site.connect
    async def connect(user: User, room: str, floor: int = 0, accept: Annotated[str, Header()] = "") -> tuple[str, str]:
        return f"{room}/{floor + 1}/{accept}", user

    assert await site.ask("room=tea&floor=2", {**RABBIT, "Accept": "x"}) == ["tea/3/x", "ann"]
    nobody = await site.ask("room=tea")
    assert (nobody.status, nobody.text, nobody.headers["www-authenticate"]) == (401, "Not authenticated", "Bearer")
    forged = await site.ask("room=tea", {"Authorization": "Bearer guess"})
    assert (forged.status, forged.text, forged.headers["x-token"]) == (403, "no such token", "forged")
    incomplete = await site.ask("floor=x", RABBIT)
    assert incomplete.status == 422
    assert '"room"' in incomplete.text
    assert '"floor"' in incomplete.text


async def test_function_may_refuse_by_itself_and_return_what_every_connect_may(site: Site) -> None:
    @site.connect
    def connect(room: str = "lobby") -> Accept:
        assert threading.current_thread() is not threading.main_thread()
        if room == "closed":
            raise ConnectRejected("not in here", 403)
        return Accept(room, "ann", rooms=["user:ann"], state={"name": "ann"})

    assert await site.ask("room=tea") == ["tea", "ann"]
    refused = await site.ask("room=closed")
    assert (refused.status, refused.text) == (403, "not in here")


async def test_application_counts_as_it_is_with_middleware_handlers_state_and_overrides(site: Site) -> None:
    class NotTodayError(Exception):
        pass

    def today(request: Request) -> str:
        assert request.app is site.app
        day: str = request.app.state.day
        if day == "sunday":
            raise NotTodayError
        return day

    @site.connect
    async def connect(request: Request, day: Annotated[str, Depends(today)]) -> tuple[str, str]:
        assert (request.method, request.url.path) == ("GET", site.path)
        return day, request.session.setdefault("name", "new")

    @site.app.exception_handler(NotTodayError)
    async def closed(request: Request, error: Exception) -> Response:
        return PlainTextResponse("closed on sundays", 503)

    site.app.add_middleware(SessionMiddleware, secret_key="secret")
    site.app.state.day = "monday"
    assert await site.ask() == ["monday", "new"]
    site.app.state.day = "sunday"
    refused = await site.ask()
    assert (refused.status, refused.text) == (503, "closed on sundays")
    site.app.dependency_overrides[today] = lambda: "holiday"
    assert await site.ask() == ["holiday", "new"]


async def test_dependency_that_yields_is_closed_before_the_upgrade_is_answered(site: Site) -> None:
    story: list[str] = []

    async def database() -> AsyncIterator[str]:
        story.append("open")
        yield "db"
        story.append("closed")

    @site.connect
    async def connect(database: Annotated[str, Depends(database)]) -> tuple[str, str]:
        story.append("asked")
        return "lobby", database

    @site.server.on_connect
    async def begin(connection: Connection) -> None:
        story.append("connected")
        await connection.send(Frame("hello", [connection.room_id, connection.id]))

    assert await site.ask() == ["lobby", "db"]
    assert story == ["open", "asked", "closed", "connected"]


async def test_middleware_for_http_answers_in_its_place_and_what_is_no_refusal_is_an_error(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    @site.connect
    async def connect(go: str = "") -> tuple[str, str]:
        if go == "home":
            raise ConnectRejected("go home", 403)
        return "lobby", "ann"

    @site.app.middleware("http")
    async def guard(request: Request, go_on: Any) -> Response:
        match request.query_params.get("go", ""):
            case "away":
                return PlainTextResponse("x" * 2000, 429)
            case "elsewhere":
                return RedirectResponse("/there")
        answer: Response = await go_on(request)
        return answer

    assert await site.ask() == ["lobby", "ann"]
    for go, answer in (("away", (429, "x" * 2000)), ("home", (403, "go home"))):
        refused = await site.ask(f"go={go}")
        assert (refused.status, refused.text) == answer
    assert (await site.ask("go=elsewhere")).status == 500
    assert "the application answered 307 instead of connect" in caplog.text


async def test_application_dependencies_count_and_no_request_from_outside_reaches_the_function() -> None:
    asked = []

    def counted(request: Request) -> None:
        asked.append(request.url.path)

    app = FastAPI(dependencies=[Depends(counted)])
    # It takes every path, and stands before.
    app.router.routes.append(Mount("/", PlainTextResponse("a page")))
    server = Server(http_app=app)

    @server.connect
    @with_dependencies(app)
    async def connect(room: str) -> tuple[str, str]:
        return room, "ann"

    async with serve(server) as running:
        await running.connect("ann", "tea")
    assert asked == ["/ws"]
    with TestClient(app) as client:
        assert client.get("/ws?room=tea").text == client.get("/").text == "a page"
        assert client.get("/openapi.json").json()["paths"] == {}
    assert asked == ["/ws"]


async def test_error_of_the_function_is_an_error_of_connect(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    @site.connect
    async def connect() -> tuple[str, str]:
        raise ZeroDivisionError("of mine")

    refused = await site.ask()
    assert (refused.status, refused.text) == (500, "internal server error")
    assert "ZeroDivisionError: of mine" in caplog.text


def by_parameter(session: Annotated[str, Cookie()] = "") -> str:
    return session


def by_request(request: Request) -> str:
    return request.cookies.get("name", "")


def by_session(request: Request) -> str:
    return str(request.session["name"])


def by_token(token: Annotated[str, Depends(bearer)]) -> str:
    return token


@pytest.mark.parametrize(
    ("dependency", "reads"),
    [(by_parameter, True), (by_request, True), (by_session, True), (APIKeyCookie(name="key"), True), (by_token, False)],
)
def test_dependencies_that_look_at_cookies_are_known_for_the_warning_of_foreign_pages(
    dependency: Callable[..., Any], reads: bool
) -> None:
    def inner(found: Annotated[str, Depends(dependency)]) -> str:
        return found

    def connect(name: Annotated[str, Depends(inner)]) -> tuple[str, str]:
        return "lobby", name

    assert reads_cookies(with_dependencies(FastAPI())(connect)) is reads
