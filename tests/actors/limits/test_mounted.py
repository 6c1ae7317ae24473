"""The limits of a server that is mounted in an ASGI application: those of connections and of rates hold there too."""

from __future__ import annotations

import pytest

from tests.support.eventually import eventually
from tests.support.http.asgi_peer import AsgiPeer
from wspulse import Connection, ConnectRejected, Frame, Request, Server
from wspulse.actors.transport.throttling import throttle


def identify(request: Request) -> tuple[str, str]:
    if request.query.get("bad"):
        raise ConnectRejected("bad")
    return "lobby", request.query["id"]


@pytest.mark.parametrize(
    ("options", "status"), [({"max_connections": 1}, 503), ({"max_connections_per_address": 1}, 429)]
)
async def test_one_more_is_refused_and_every_place_is_given_back(options: dict[str, int], status: int) -> None:
    server = Server(identify, **options)  # type: ignore[arg-type]  # their names are the parameters'
    async with server.asgi_lifespan():
        application = server.asgi()
        for name in ("a", "b"):
            async with AsgiPeer(application, "id=x&bad=1") as rejected:
                assert (await rejected.gets(1))[0]["status"] == 401
            async with AsgiPeer(application, f"id={name}") as inside:
                assert (await inside.gets(1))[0]["type"] == "websocket.accept"
                async with AsgiPeer(application, "id=more") as more:
                    assert (await more.gets(1))[0]["status"] == status
                inside.say('{"event":"x"}')
            await eventually(lambda: not server.local_connections(), "its connection has ended")


async def test_peer_that_sends_too_much_is_closed_with_1008(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "PATIENCE_S", 0.1)
    heard: list[str] = []

    def on_message(_connection: Connection, frame: Frame) -> None:
        heard.append(frame.event)

    server = Server(identify, on_message=on_message, max_frames_per_second=5)
    async with server.asgi_lifespan(), AsgiPeer(server.asgi(), "id=a") as peer:
        for _ in range(50):
            peer.say('{"event":"x"}')
        assert await peer.gets(2) == [
            {"type": "websocket.accept", "subprotocol": None, "headers": []},
            {"type": "websocket.close", "code": 1008, "reason": "too many messages"},
        ]
        assert len(heard) == 5
