"""contract §2: what `Accept` and `ConnectRejected` say to a client, whichever worker it comes to."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from tests.support.contract.served import ServedApplication

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


async def test_101_has_the_headers_of_the_application_each_in_its_line(served: ServedApplication) -> None:
    for _ in range(DIALS):
        async with await served.client(served.new_id()) as client:
            response = client.socket.response
            assert response is not None
            assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
            assert await client.expect("new") == [None, "guest"]


async def test_subprotocol_of_the_applications_choice_is_answered_and_without_one_that_of_the_option(
    served: ServedApplication,
) -> None:
    for _ in range(DIALS):
        async with await served.client(served.new_id(), offer=["one", "two"], choose="two") as client:
            assert client.socket.subprotocol == "two"
            assert await client.expect("new") == ["two", "guest"]
        async with await served.client(served.new_id(), offer=["two", "one"]) as client:
            assert client.socket.subprotocol == "one"


async def test_subprotocol_that_the_client_did_not_offer_is_a_fault_of_the_application(
    served: ServedApplication,
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await served.client(served.new_id(), offer=["one"], choose="two")
    assert refused.value.response.status_code == 500
    assert refused.value.response.body == b"internal server error"


async def test_session_without_resume_ends_with_its_socket_and_another_one_waits(served: ServedApplication) -> None:
    for _ in range(DIALS):
        for query, event in (({}, "new"), ({"stay": "1"}, "back")):
            name = served.new_id()
            client = await served.client(name, **query)
            await client.expect("new")
            await client.close()
            async with await served.client(name, **query) as again:
                await again.expect(event)


@pytest.mark.parametrize(("status", "name", "value"), [(401, "WWW-Authenticate", "Bearer"), (503, "Retry-After", "7")])
async def test_refusal_has_the_headers_of_the_application(
    served: ServedApplication, status: int, name: str, value: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await served.client(served.new_id(), refused=status)
    response = refused.value.response
    assert (response.status_code, response.headers.get_all(name), response.body) == (status, [value], b"sign in")
