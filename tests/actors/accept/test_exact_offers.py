"""Which subprotocol is chosen where exact sessions are offered, and what nobody is told of a client that comes back."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.wire.raw_peer import RawPeer, head
from wspulse import Accept, Codec, JSONCodec, MsgpackCodec, RawCodec, Request, Server

TOKEN = "rrvJdNl6v2pDUq-99SHJsAYWRh"
CLAIM = f"wspulse.resume.{TOKEN}.0"


async def answered(server: Server, *offers: str) -> str:
    """The status line and the subprotocol of the answer."""
    async with server.serve() as running, await RawPeer.dial(running.port) as peer:
        peer.writer.write(head("/ws", *(f"Sec-WebSocket-Protocol: {offer}" for offer in offers)))
        answer = (await peer.head()).decode()
    lines = answer.split("\r\n")
    chosen = [line.partition(": ")[2] for line in lines if line.lower().startswith("sec-websocket-protocol")]
    return " ".join([lines[0].split(" ")[1], *chosen])


@pytest.mark.parametrize(
    ("codec", "ours", "offers", "expected"),
    [
        (JSONCodec(), None, ["wspulse.1"], "101 wspulse.1"),
        (MsgpackCodec(), None, ["wspulse.1"], "101 wspulse.1"),
        (JSONCodec(), ["chat"], ["chat, wspulse.1"], "101 wspulse.1"),
        (JSONCodec(), ["chat"], ["chat", CLAIM], "101 chat"),
        (JSONCodec(), None, [CLAIM], "101"),
        (RawCodec(), None, ["wspulse.1"], "101"),
        (RawCodec(), ["chat"], ["wspulse.1, chat"], "101 chat"),
        (JSONCodec(), None, ["wspulse.2"], "101"),
    ],
)
async def test_exact_sessions_are_chosen_first_wherever_they_are_offered_and_can_be_spoken(
    codec: Codec, ours: list[str] | None, offers: list[str], expected: str
) -> None:
    assert await answered(Server(lambda _: ("room", "ada"), codec=codec, subprotocols=ours), *offers) == expected


@pytest.mark.parametrize(
    ("codec", "choice", "expected"),
    [
        (JSONCodec(), "chat", "101 chat"),
        (JSONCodec(), "wspulse.1", "101 wspulse.1"),
        (JSONCodec(), CLAIM, "500"),
        (JSONCodec(), "wspulse.2", "500"),
        (RawCodec(), "wspulse.1", "500"),
    ],
)
async def test_applications_choice_comes_before_that_of_the_server(codec: Codec, choice: str, expected: str) -> None:
    server = Server(lambda _: Accept("room", "ada", subprotocol=choice), codec=codec)
    logging.getLogger("wspulse").disabled = True
    try:
        assert await answered(server, f"chat, wspulse.2, wspulse.1, {CLAIM}") == expected
    finally:
        logging.getLogger("wspulse").disabled = False


def test_name_of_the_servers_own_is_no_subprotocol_of_the_application() -> None:
    with pytest.raises(ValueError, match=r"wspulse: subprotocols: 'wspulse\.1' is reserved"):
        Server(lambda _: ("room", "ada"), subprotocols=["wspulse.1"])


async def test_nobody_is_told_what_a_client_claims(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wspulse")
    seen: list[Any] = []

    def connect(request: Request) -> tuple[str, str]:
        seen.append([request.head, dict(request.headers), repr(request)])
        if "refused" in request.query:
            raise LookupError
        return "room", "ada"

    server = Server(connect, resume_window=5, access_log=True)
    server.on_transport_restore(lambda connection: seen.append(connection.resumed_with.request.head))
    async with server.serve() as running:
        peer = await RawPeer.upgraded(running.port, "/ws", lines=("Sec-WebSocket-Protocol: wspulse.1",))
        token = (await peer.expect("wspulse.session"))["token"]
        offers = f"Sec-WebSocket-Protocol: wspulse.1, wspulse.resume.{token}.0"
        async with await RawPeer.upgraded(running.port, "/ws", lines=(offers,)) as again:
            assert (await again.expect("wspulse.session"))["recovered"]
            await eventually(lambda: len(seen) == 3, "the application has seen both")
        async with await RawPeer.dial(running.port) as refused:
            refused.writer.write(head("/ws?refused=1", offers))
            assert b" 500 " in await refused.head()
        await peer.close()
    assert token not in str(seen)
    assert token not in str([vars(record) for record in caplog.records])
    assert "wspulse.1" in str(seen)


async def test_claim_without_an_id_of_the_applications_is_granted_to_its_token_and_to_no_other() -> None:
    server = Server(lambda request: ("room", request.query.get("id", "")), resume_window=5)
    async with server.serve() as running:

        async def dial(target: str, *claims: str) -> dict[str, Any]:
            offers = ", ".join(["wspulse.1", *claims])
            peer = await RawPeer.upgraded(running.port, target, lines=(f"Sec-WebSocket-Protocol: {offers}",))
            first: dict[str, Any] = await peer.expect("wspulse.session")
            peer.writer.transport.abort()
            shard = server._running().shard
            await eventually(lambda: shard.sessions[first["id"]].transport is None, "it is suspended")
            return first

        first = await dial("/ws?id=ada")
        token = first["token"]
        forged = [
            f"wspulse.resume.{'x' * 22}{token[22:]}.0",  # an id that everybody knows, and a secret that is made up
            f"wspulse.resume.{token[:22]}.0",
            f"wspulse.resume.{token}x.0",
            f"wspulse.resume.{token}.1",
        ]
        for claim in forged:
            other = await dial("/ws", claim)
            assert not other["recovered"]
            assert other["id"] != "ada"
        again = await dial("/ws", f"wspulse.resume.{token}.0")
        assert (again["id"], again["recovered"], again["token"]) == ("ada", True, token)
        # The token of another id than the application has named.
        other = await dial("/ws?id=eve", f"wspulse.resume.{token}.0")
        assert (other["id"], other["recovered"]) == ("eve", False)
        assert (await dial("/ws?id=ada", f"wspulse.resume.{token}.0"))["recovered"]


async def test_msgpack_is_spoken_too() -> None:
    import msgspec

    server = Server(lambda _: ("room", "ada"), codec=MsgpackCodec())
    async with (
        server.serve() as running,
        await RawPeer.upgraded(running.port, "/ws", lines=("Sec-WebSocket-Protocol: wspulse.1",)) as peer,
    ):
        opcode, payload = await peer.frame()
        frame = msgspec.msgpack.decode(payload)
        assert (opcode, frame["event"], frame["payload"]["received"]) == (2, "wspulse.session", 0)
        assert json.loads(json.dumps(frame["payload"]))["ack"] == [64, 1048576]
        await asyncio.sleep(0)
