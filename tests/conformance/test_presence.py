"""contract §4: who is in a room, asked of any worker."""

from __future__ import annotations

import os
import signal
from uuid import uuid4

from tests.support.contract.server import ContractServer, contract_server
from tests.support.processes.server_process import wait_until
from wspulse import AsyncControl

STATE = ["session", "slow"]
"""What the contract's application keeps of each."""


async def test_presence_tells_of_everybody_in_all_of_their_rooms_from_any_worker(resuming: ContractServer) -> None:
    room, second = resuming.new_id("room"), resuming.new_id("second")
    members = {resuming.new_id("member", shard): shard for shard in range(resuming.workers)}
    clients = {name: await resuming.client(name, room) for name in members}
    away = next(iter(members))
    for client in clients.values():
        await client.order("join", to=second)
    await resuming.drop(clients[away], away)
    expected = [
        [name, [room, second], STATE, name == away, resuming.number_of(members[name])] for name in sorted(members)
    ]
    for boss in await resuming.clients_on_all_shards(resuming.new_id("bosses")):
        assert await boss.order("presence", room=room) == expected
        assert await boss.order("presence", room=second) == expected
        await boss.close()
    async with await resuming.client(away, room):
        pass
    for name, client in clients.items():
        if name != away:
            await client.close()


async def test_nobody_is_present_in_a_room_that_does_not_exist(plain: ContractServer) -> None:
    async with await plain.client(plain.new_id()) as boss:
        assert await boss.order("presence", room=f"nowhere-{uuid4().hex}") == []
        assert (await boss.order("presence", room=5))["error"] == "TypeError"


async def test_member_that_leaves_or_is_kicked_is_not_present(plain: ContractServer) -> None:
    room, name = plain.new_id("room"), plain.new_id("member")
    async with await plain.client(plain.new_id("boss")) as boss:
        client = await plain.client(name, plain.new_id("first"))
        await client.order("join", to=room)
        assert [row[0] for row in await boss.order("presence", room=room)] == [name]
        await client.order("leave", to=room)
        assert await boss.order("presence", room=room) == []
        await client.order("join", to=room)
        await boss.order("kick", id=name)
        assert await boss.order("presence", room=room) == []


async def test_nobody_of_a_worker_that_died_is_present() -> None:
    workers = 4  # with one nobody is left to ask
    with contract_server(workers) as server:
        room = server.new_id("room")
        members = [server.new_id("member", shard) for shard in range(workers)]
        clients = [await server.client(name, room) for name in members]
        async with await server.client(server.new_id("boss", 0), "bosses") as boss:
            assert [row[0] for row in await boss.order("presence", room=room)] == sorted(members)
            assert server.process is not None
            pid = server.process.worker_pids()[1]
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: server.process.worker_pids().get(1) != pid, 10, "it has died")
            left = sorted(set(members) - {members[1]})

            async def is_exact() -> bool:
                return [row[0] for row in await boss.order("presence", room=room)] == left

            for _ in range(100):
                if await is_exact():
                    break
            assert await is_exact()
        for client in clients:
            client.drop()


async def test_control_socket_tells_of_presence_with_the_applications_state(workers: int) -> None:
    with contract_server(workers) as server:
        room = server.new_id("room")
        names = sorted(server.new_id("member", shard) for shard in range(workers))
        clients = [await server.client(name, room) for name in names]
        async with AsyncControl(server.process.control) as control:
            found = await control.presence(room)
            assert sorted(member.id for member in found) == names
            assert found.missing_shards == ()
            assert {tuple(sorted(member.state)) for member in found} == {tuple(STATE)}
            assert {member.rooms for member in found} == {(room,)}
            assert not any(member.suspended for member in found)
            assert await control.presence("nowhere") == []
        for client in clients:
            client.drop()
