"""Clients that do not read, that go, or that are silent while their sessions move."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.support.contract.exact_client import ExactClient
from tests.support.eventually import eventually
from tests.support.shards.moving import FrozenBatch, listening, said
from tests.support.shards.moving_stage import MovingStage, moving_stage
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse import Frame
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.wire.frames import CLOSE, TEXT


async def connected(stage: MovingStage, *ids: str) -> None:
    await eventually(lambda: all(one in stage.connections for one in ids), "they are connected")


async def test_peers_that_read_nothing_get_megabytes_in_order_when_they_do_after_many_moves() -> None:
    async with moving_stage(2, options=lambda _seat: {"send_buffer_bytes": 1 << 26, "write_wait": 20}) as stage:
        ids = stage.ids(4)
        peers = [await RawPeer.upgraded(stage.shards.port, f"/ws?id={one}", 4096) for one in ids]
        await connected(stage, *ids)
        filling = "x" * 30_000
        sent = 0
        for turn in range(6):
            for _ in range(25):
                server = stage.shards.servers[sent % 2]
                await stage.shards.servers[1].broadcast("lobby", Frame("all", [sent, filling]))
                await asyncio.gather(*(server.send(one, Frame("one", [sent, filling])) for one in ids))
                sent += 1
            outcome = await stage.move(back=bool(turn % 2))
            assert isinstance(outcome, MovedOut)
            assert (outcome.moved, outcome.drained) == (4, 0)
            # Some of it is taken now and then.
            for peer in peers[:2]:
                await peer.reader.read(1000)
        for number, peer in enumerate(peers):
            if number < 2:
                continue
            heard: dict[str, list[int]] = {"one": [], "all": []}
            while len(heard["one"]) + len(heard["all"]) < 2 * sent:
                opcode, payload = await peer.frame()
                if opcode == TEXT:
                    frame = json.loads(payload)
                    heard[frame["event"]].append(frame["payload"][0])
                    assert frame["payload"][1] == filling
            assert heard == {"one": list(range(sent)), "all": list(range(sent))}
        assert {session.dropped_frames for session in stage.source.shard.sessions.values()} == {0}
        for peer in peers:
            await peer.close()


@pytest.mark.parametrize("how", ["reset", "end", "close"])
@pytest.mark.parametrize("when", ["before", "frozen", "after"])
async def test_peer_that_says_something_and_goes_is_heard_and_missed_once(how: str, when: str) -> None:
    async with moving_stage(2) as stage:
        ids = stage.ids(6)
        peers = [await RawPeer.upgraded(stage.shards.port, f"/ws?id={one}") for one in ids]
        await connected(stage, *ids)
        await stage.shards.servers[0].broadcast("lobby", Frame("n", "to have something unread"))

        async def go() -> None:
            for peer in peers:
                peer.writer.write(said("n", 1) + said("n", 2))
                if how == "close":
                    peer.writer.write(masked(CLOSE, b"\x03\xe8"))
                elif how == "end":
                    peer.writer.write_eof()
            # It is on its way.
            await asyncio.sleep(0.005)
            if how == "reset":
                for peer in peers:
                    peer.reset()

        held = FrozenBatch(stage.source)
        if when == "before":
            await go()
            held.go_on()
            moving = stage.move()
        else:
            moving = stage.move()
            await held.frozen()
            if when == "frozen":
                await go()
                # So that it is written to before it is read, if nobody looks.
                await stage.shards.servers[1].broadcast("lobby", Frame("n", "to be written first"))
                await asyncio.sleep(0.01)
            held.go_on()
        assert isinstance(await moving, MovedOut)
        if when == "after":
            await go()
        await eventually(lambda: all(stage.of(one, "drop") for one in ids), "they are missed")
        for one in ids:
            called = [(which, given) for _, which, given in stage.of(one) if which != "drop"]
            assert called[:3] == [("connect", None), ("n", 1), ("n", 2)]
            ((_, _, error),) = stage.of(one, "drop")
            assert type(error).__name__ == ("NoneType" if how == "close" else "ConnectionLostError")
            assert not stage.of(one, "disconnect")
        if how == "close":
            for peer in peers:
                assert await peer.close_code() == (1000, "")
        for peer in peers:
            await peer.close()
        stage.assert_nothing_is_left(sessions=6)


async def test_peers_that_answer_pings_stay_and_one_that_does_not_is_dropped_in_time_however_often_they_move() -> None:
    options = {"ping_period": 0.1, "pong_wait": 0.5, "resume_window": 0}
    async with moving_stage(2, options=lambda _seat: options) as stage:
        ids = stage.ids(5)
        silent = ids[4]
        async with listening(stage.shards.port, {one: f"/ws?id={one}" for one in ids[:4]}) as listeners:
            peer = await RawPeer.upgraded(stage.shards.port, f"/ws?id={silent}")
            await connected(stage, *ids)
            begun = time.monotonic()
            turn = 0
            dropped_s = 0.0
            while time.monotonic() < begun + 2:
                assert isinstance(await stage.move(back=bool(turn % 2)), MovedOut)
                turn += 1
                if not dropped_s and stage.of(silent, "disconnect"):
                    dropped_s = time.monotonic() - begun
                    break
                await asyncio.sleep(0.02)
            assert turn > 5
            ((_, _, error),) = stage.of(silent, "disconnect")
            assert type(error).__name__ == "KeepaliveTimeoutError"
            assert 0.5 <= dropped_s <= 1.5
            for listener in listeners:
                assert listener.closed is None
                listener.say("n", 1)
                await listener.until(listener.has_an_answer, "it is served")
            await peer.close()


async def test_exact_sessions_lose_and_double_nothing_while_they_move_and_their_clients_come_and_go(draw: Any) -> None:
    async with moving_stage(2, options=lambda _seat: {"send_buffer_size": 4096, "resume_window": 20}) as stage:
        ids = stage.ids(4)
        is_over = False
        sent: dict[str, int] = dict.fromkeys(ids, 0)
        broadcast = 0
        heard: dict[str, dict[str, list[int]]] = {one: {"direct": [], "all": [], "done": []} for one in ids}
        said_by: dict[str, int] = dict.fromkeys(ids, 0)

        async def read(client: ExactClient, one: str) -> None:
            frame = await client.receive()
            if frame["event"] in heard[one]:
                heard[one][frame["event"]].append(frame["payload"])
            if draw.random() < 0.3:
                await client.acknowledge()

        async def talk(client: ExactClient, one: str) -> None:
            while not is_over:
                await client.send("n", said_by[one])
                said_by[one] += 1
                try:
                    async with asyncio.timeout(0.01 * draw.random()):
                        while True:
                            await read(client, one)
                except TimeoutError:
                    pass
                if draw.random() < 0.1:
                    client.drop()
                    await asyncio.sleep(0.01 * draw.random())
                    first = await client.dial()
                    assert first["recovered"]
                    assert first["lost"] == 0

        async def serve() -> None:
            nonlocal broadcast
            while not is_over:
                for one in ids:
                    await stage.shards.servers[sent[one] % 2].send(one, Frame("direct", sent[one]))
                    sent[one] += 1
                await stage.shards.servers[1].broadcast("lobby", Frame("all", broadcast))
                broadcast += 1
                await asyncio.sleep(0.002)

        clients = [ExactClient(f"{stage.shards.url}?id={one}") for one in ids]
        for client in clients:
            await client.dial()
        for one, client in list(zip(ids, clients, strict=True))[:2]:
            await client.send("join", "kitchen")
            said_by[one] = 0
        await eventually(lambda: all(stage.of(one, "join") for one in ids[:2]), "two have joined another room")
        tasks = [asyncio.create_task(talk(client, one)) for one, client in zip(ids, clients, strict=True)]
        serving = asyncio.create_task(serve())
        for turn in range(20):
            outcome = await stage.move(back=bool(turn % 2))
            assert isinstance(outcome, MovedOut), outcome
            assert outcome.drained == 0
            await asyncio.sleep(0.02)
        is_over = True
        await asyncio.gather(*tasks, serving)
        for one, client in zip(ids, clients, strict=True):
            is_first = one in ids[:2]
            async with asyncio.timeout(10):
                while (
                    len(heard[one]["direct"]) < sent[one]
                    or len(heard[one]["all"]) < broadcast
                    or len(heard[one]["done"]) < said_by[one] + is_first
                ):
                    await read(client, one)
            assert heard[one]["direct"] == list(range(sent[one]))
            assert heard[one]["all"] == list(range(broadcast))
            assert heard[one]["done"] == [*(["kitchen"] if is_first else []), *range(said_by[one])]
            assert [given for _, _, given in stage.of(one, "n")] == list(range(said_by[one]))
            assert not stage.of(one, "disconnect")
            assert len(stage.of(one, "connect")) == 1
            await client.socket.close()
        assert min(sent.values()) > 20
