"""Sessions whose clients compress, and move: to a process that has the option, and to one that has it no more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.eventually import eventually
from tests.support.sessions.moved_sockets import SocketPeer
from tests.support.shards.moving_stage import moving_stage
from tests.support.wire.compressed import compressed_message, deflated, messages_in, whole_messages
from wspulse import Frame
from wspulse.actors.mesh.lifecycle import MovedOut
from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.actors.transport.transport import Transport
from wspulse.actors.wire.frames import TEXT

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10"
LONG = "größer 🎈 " * 60


@pytest.mark.parametrize("target_has_it", [True, False])
async def test_what_was_agreed_on_holds_in_the_process_that_a_session_moves_to(target_has_it: bool) -> None:
    async def heard(client: ClientConnection, event: str) -> Any:
        async with asyncio.timeout(10):
            while (frame := json.loads(await client.recv()))["event"] != event:
                pass
            return frame["payload"]

    async with moving_stage(2, options=lambda _seat: {"compression": "deflate"}) as stage:
        ids = stage.ids(6)
        url = f"{stage.shards.url}?id="
        clients = [
            await connect(url + one, compression="deflate" if at % 2 else None) for at, one in enumerate(ids[:5])
        ]
        peer = await SocketPeer.connected(stage.shards.port, f"/ws?id={ids[5]}", OFFER)
        if not target_has_it:
            # As one that was started later, with other options.
            shard = stage.target.shard
            shard.options = shard.options.overridden({"compression": None})
        data = deflated(json.dumps({"event": "half", "payload": LONG}).encode())
        message = compressed_message(TEXT, data, [9, 20])
        for turn, back in enumerate((False, True, False)):
            # Half of a message is here while everybody moves.
            peer.send(message[: 25 + turn])
            outcome = await stage.move(back=back)
            assert isinstance(outcome, MovedOut)
            assert (outcome.moved, outcome.drained) == (6, 0)
            peer.send(message[25 + turn :])
            await stage.shards.servers[turn % 2].broadcast("lobby", Frame("all", [turn, LONG]))
            for at, client in enumerate(clients):
                assert await heard(client, "all") == [turn, LONG]
                await client.send(json.dumps({"event": "said", "payload": [at, turn, LONG]}))
                assert await heard(client, "done") == [at, turn, LONG]
            # The broadcast, and the answer to its message.
            await eventually(lambda turn=turn: whole_messages(peer.reads()) == 2 * turn + 2, "it has both")  # type: ignore[misc]
        found = messages_in(bytes(peer.received), 10)
        assert all(is_compressed for _, _, is_compressed in found)
        said = [json.loads(content) for _, content, _ in found]
        assert [frame["payload"] for frame in said if frame["event"] == "done"] == [LONG] * 3
        assert [frame["payload"] for frame in said if frame["event"] == "all"] == [[turn, LONG] for turn in range(3)]
        assert [given for _, _, given in stage.of(ids[5], "half")] == [LONG] * 3
        here = stage.target.shard.sessions
        assert [type(here[one].transport) for one in ids] == [Transport, CompressingTransport] * 3
        for client in clients:
            await client.close()
        peer.socket.close()
