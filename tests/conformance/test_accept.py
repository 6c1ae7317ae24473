"""contract.md §2: what `Accept` and `ConnectRejected` say to a client, whichever worker it comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support.contract import MOUNTED
from tests.support.server_process import ServerProcess, serve_process, serve_uvicorn
from wspulse.actors.mesh.placement import Placement

APP = """
from wspulse import Accept, ConnectRejected, Frame, Server

def connect(request):
    query = request.query
    if "refused" in query:
        headers = {"WWW-Authenticate": "Bearer"} if query["refused"] == "401" else {"Retry-After": "7"}
        raise ConnectRejected("sign in", int(query["refused"]), headers)
    return Accept(
        "room",
        query["id"],
        state={"role": "guest"},
        headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
        subprotocol=query.get("choose"),
        resume="stay" in query,
    )

server = Server(connect, subprotocols=["one"], resume_window=30)
ended = []

@server.on_connect
def hello(connection):
    connection.send_nowait(Frame("new", [connection.subprotocol, connection.state["role"]]))

@server.on_transport_restore
def back(connection):
    connection.send_nowait(Frame("back", [connection.subprotocol, connection.state["role"]]))

asgi = server.asgi()
"""

DIALS = 8
"""So many that some are accepted by a worker that does not own the id."""


@pytest.fixture(scope="module")
def server(workers: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("accept")
    (folder / "app.py").write_text(APP)
    if workers == MOUNTED:
        with serve_uvicorn("app:asgi", cwd=folder) as server:
            yield server
    else:
        with serve_process("--app", "app:server", workers=workers, cwd=folder) as server:
            yield server


def fresh_id(workers: int) -> str:
    return Placement(1 if workers == MOUNTED else workers).new_id(0)


async def dialled(
    server: ServerProcess, name: str, query: str = "", offer: list[str] | None = None
) -> ClientConnection:
    return await connect(f"{server.url}?id={name}{query}", proxy=None, subprotocols=offer or None)  # type: ignore[arg-type]


async def hear(client: ClientConnection) -> str:
    return str(await asyncio.wait_for(client.recv(), 5))


async def test_101_has_the_headers_of_the_application_each_in_its_line(server: ServerProcess, workers: int) -> None:
    for _ in range(DIALS):
        async with await dialled(server, fresh_id(workers)) as client:
            assert client.response is not None
            assert client.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
            assert "guest" in await hear(client)


async def test_subprotocol_of_the_applications_choice_is_answered_and_without_one_that_of_the_option(
    server: ServerProcess, workers: int
) -> None:
    for _ in range(DIALS):
        async with await dialled(server, fresh_id(workers), "&choose=two", ["one", "two"]) as client:
            assert client.subprotocol == "two"
            assert '"two"' in await hear(client)
        async with await dialled(server, fresh_id(workers), offer=["two", "one"]) as client:
            assert client.subprotocol == "one"


async def test_subprotocol_that_the_client_did_not_offer_is_a_fault_of_the_application(
    server: ServerProcess, workers: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await dialled(server, fresh_id(workers), "&choose=two", ["one"])
    assert refused.value.response.status_code == 500
    assert refused.value.response.body == b"internal server error"


async def test_session_without_resume_ends_with_its_socket_and_another_one_waits(
    server: ServerProcess, workers: int
) -> None:
    for _ in range(DIALS):
        for query, event in (("", '"new"'), ("&stay=1", '"back"')):
            name = fresh_id(workers)
            client = await dialled(server, name, query)
            assert '"new"' in await hear(client)
            await client.close()
            async with await dialled(server, name, query) as again:
                assert event in await hear(again)


@pytest.mark.parametrize(("status", "name", "value"), [(401, "WWW-Authenticate", "Bearer"), (503, "Retry-After", "7")])
async def test_refusal_has_the_headers_of_the_application(
    server: ServerProcess, workers: int, status: int, name: str, value: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await dialled(server, fresh_id(workers), f"&refused={status}")
    response = refused.value.response
    assert (response.status_code, response.headers.get_all(name), response.body) == (status, [value], b"sign in")
