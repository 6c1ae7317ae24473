"""A mounted server's exact sessions."""

from __future__ import annotations

import json

from tests.support.http.asgi_peer import AsgiPeer
from wspulse import Frame, Request, Server


async def test_exact_session_comes_back_and_nobody_is_told_what_its_client_claims() -> None:
    requests: list[Request] = []

    def connect(request: Request) -> tuple[str, str]:
        requests.append(request)
        return "lobby", request.query["id"]

    def offer(peer: AsgiPeer, *names: str) -> None:
        peer.scope["subprotocols"] = list(names)
        peer.scope["headers"].append((b"sec-websocket-protocol", ", ".join(names).encode()))

    server = Server(connect, resume_window=30)
    async with server.asgi_lifespan():
        first = AsgiPeer(server.asgi(), "id=a")
        offer(first, "wspulse.1")
        async with first:
            accept, message = await first.gets(2)
            assert accept["subprotocol"] == "wspulse.1"
            session = json.loads(message["text"])["payload"]
            assert (session["id"], session["recovered"]) == ("a", False)
            await server.send("a", Frame("one"))
            await first.gets(3)
        second = AsgiPeer(server.asgi(), "id=a")
        offer(second, "wspulse.1", f"wspulse.resume.{session['token']}.0")
        async with second:
            _, message, again = await second.gets(3)
            assert json.loads(message["text"])["payload"]["recovered"]
            assert again["text"] == '{"event":"one"}'
    request = requests[1]
    assert request.headers["sec-websocket-protocol"] == "wspulse.1"
    assert request.scope is not None
    assert request.scope["subprotocols"] == ["wspulse.1"]
    assert session["token"] not in f"{request.scope} {request.head!r}"
    assert request.scope["session"] is second.scope["session"]
