"""Sessions move between processes, which live in one loop here: real sockets, mailboxes and a real bus."""

from __future__ import annotations

import json
from typing import Any

from tests.support.shards.conductor import Conductor
from tests.support.shards.shards import Shards, serve_shards
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Connection, Frame, Server
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.wire.frames import TEXT


def echoing() -> Server:
    server = Server(
        lambda request: (request.query.get("room", "lobby"), request.query["id"]),
        resume_window=5,
        max_message_size=65536,
    )

    @server.on_message
    async def on_message(connection: Connection, frame: Frame) -> None:
        connection.state["heard"] = connection.state.get("heard", 0) + 1
        await connection.send(Frame("echo", {"n": frame.decode(), "heard": connection.state["heard"]}))

    return server


def said(number: int) -> bytes:
    return masked(TEXT, json.dumps({"event": "say", "payload": number}).encode())


async def heard(peer: RawPeer) -> dict[str, Any]:
    opcode, payload = await peer.frame()
    assert opcode == TEXT, (opcode, payload)
    found: dict[str, Any] = json.loads(payload)
    return found


async def ids_of(shards: Shards, number: int, count: int) -> list[str]:
    placement = shards.runtimes[0].placement
    seat = shards.runtimes[number].shard.seat
    return [placement.new_id(seat) for _ in range(count)]


async def test_sessions_move_with_their_sockets_and_nobody_notices() -> None:
    async with serve_shards(echoing, 2) as shards:
        conductor = Conductor(shards)
        ids = await ids_of(shards, 0, 150)
        peers = [await RawPeer.upgraded(shards.port, f"/ws?id={each}&room=r{n % 5}") for n, each in enumerate(ids)]
        for n, peer in enumerate(peers):
            peer.writer.write(said(n))
            assert (await heard(peer))["payload"] == {"n": n, "heard": 1}
        outcome = await conductor.reload(0)
        assert isinstance(outcome, MovedOut)
        assert (outcome.moved, outcome.drained) == (150, 0)
        for n, peer in enumerate(peers):
            peer.writer.write(said(n))
            assert (await heard(peer))["payload"] == {"n": n, "heard": 2}
        await shards.servers[1].broadcast("r1", Frame("all", 7))
        for n, peer in enumerate(peers):
            if n % 5 == 1:
                assert (await heard(peer))["payload"] == 7
        await shards.servers[1].send(ids[0], Frame("one", 1))
        assert (await heard(peers[0]))["payload"] == 1
        assert len(await shards.servers[1].get_connections("r0")) == 30
        for peer in peers:
            await peer.close()
