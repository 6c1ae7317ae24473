"""The bridge: programs outside as the application of a server with four workers, killed, slow, several, and in plain JSON."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.control.control_peer import Peer, peer
from tests.support.eventually import eventually
from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse import AsyncControl, BridgeRequest, ConnectRejected, ControlError, Frame

ROOT = Path(__file__).parents[2]


def admit(request: BridgeRequest) -> tuple[str, str]:
    if "id" not in request.query:
        raise ConnectRejected("who are you?")
    return request.query.get("room", "lobby"), request.query["id"]


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with serve_process("--app", "bridge", workers=4) as server:
        yield server


async def status_of(url: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url)
    response = refused.value.response
    return response.status_code, bytes(response.body or b"").decode()


@asynccontextmanager
async def bot(server: ServerProcess) -> AsyncIterator[subprocess.Popen[bytes]]:
    """examples/bridge_bot.py, attached when the block begins."""
    assert server.control is not None
    attached = server.stderr().count("a bridge program has attached")
    program = str(ROOT / "examples" / "bridge_bot.py")
    process = subprocess.Popen([sys.executable, program, server.control])  # noqa: ASYNC220
    try:
        await asyncio.to_thread(
            wait_until,
            lambda: server.stderr().count("a bridge program has attached") > attached,
            15,
            "the program is attached",
        )
        yield process
    finally:
        process.kill()
        process.wait()


async def heard(client: ClientConnection, text: str) -> None:
    """Wait until somebody says `text`."""
    async with asyncio.timeout(10):
        while True:
            frame = json.loads(await client.recv())
            if frame["event"] == "said" and frame["payload"]["text"] == text:
                return


async def say(client: ClientConnection, text: str) -> None:
    await client.send(json.dumps({"payload": text}))


async def test_newcomers_are_refused_without_a_program_and_by_it(server: ServerProcess) -> None:
    assert await status_of(server.url) == (503, "no program is attached")
    async with AsyncControl(server.control) as control, control.attach(admit):
        assert await status_of(server.url) == (401, "who are you?")
        async with connect(f"{server.url}?id=alice"):
            pass


async def test_program_is_killed_and_started_again_while_clients_stay(server: ServerProcess) -> None:
    clients: list[ClientConnection] = []
    async with bot(server) as first:
        clients.extend([await connected(f"{server.url}?name=user{number}") for number in range(20)])
        await say(clients[0], "hello")
        await asyncio.gather(*(heard(client, "hello") for client in clients))
        first.send_signal(signal.SIGKILL)
        first.wait()
        for number in range(40):
            await say(clients[number % 20], f"meanwhile {number}")
    async with bot(server):
        await asyncio.gather(*(heard(clients[0], f"meanwhile {number}") for number in (39,)))
        await say(clients[7], "back")
        await asyncio.gather(*(heard(client, "back") for client in clients[1:]))
    for client in clients:
        await client.close()
        assert client.close_code == 1000


async def test_connections_are_shared_and_taken_over(server: ServerProcess) -> None:
    taken: dict[str, Counter[str]] = {"one": Counter(), "two": Counter()}

    async def serve(name: str, control: AsyncControl) -> None:
        async with control.attach(admit, window=8) as bridge:
            attached[name].set()
            async for item in bridge:
                taken[name][item.op + (" adopted" if item.adopted else "")] += 1
                if item.frame is not None:
                    await control.send(item.connection, Frame("from", [name, item.frame.payload]))

    attached = {"one": asyncio.Event(), "two": asyncio.Event()}
    async with AsyncControl(server.control) as control:
        one = asyncio.create_task(serve("one", control))
        two = asyncio.create_task(serve("two", control))
        await asyncio.gather(*(event.wait() for event in attached.values()))
        clients = [await connected(f"{server.url}?id=user-{number}") for number in range(20)]
        answers = Counter(await asyncio.gather(*(ask(client, 1) for client in clients)))
        # Of one whose worker has let it in the desk may not know yet when it lets in the next.
        assert abs(answers["one"] - answers["two"]) <= 4
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        assert set(await asyncio.gather(*(ask(client, 2) for client in clients))) == {"two"}
        assert taken["two"] == {
            "connected": answers["two"],
            "connected adopted": answers["one"],
            "message": 20 + answers["two"],
        }
        for client in clients:
            await client.close()
        two.cancel()
        await asyncio.gather(two, return_exceptions=True)


async def ask(client: ClientConnection, number: int) -> str:
    await client.send(json.dumps({"payload": number}))
    async with asyncio.timeout(10):
        answer = json.loads(await client.recv())
    assert answer["payload"][1] == number
    return str(answer["payload"][0])


async def test_slow_program_pauses_its_clients_and_loses_nothing(server: ServerProcess) -> None:
    async with (
        AsyncControl(server.control) as control,
        control.attach(admit, window=4) as bridge,
        connect(f"{server.url}?id=eager") as client,
    ):
        sent: list[int] = []
        sending = asyncio.create_task(send_many(client, 6_000, sent))
        frames_in = await frames_in_while_nothing_is_read(control, sent)
        # Window 4, of which "connected" took one; one frame waits at the desk, and at most 16 for the handler.
        assert frames_in <= 3 + 1 + 1 + 16
        numbers = []
        async with asyncio.timeout(60):
            async for item in bridge:
                if item.frame is not None:
                    numbers.append(item.frame.payload["n"])
                if len(numbers) == 6_000:
                    break
        await sending
        assert numbers == list(range(6_000))


async def send_many(client: ClientConnection, count: int, sent: list[int]) -> None:
    for number in range(count):
        await client.send(json.dumps({"payload": {"n": number, "filler": "x" * 4000}}))
        sent.append(number)


async def frames_in_while_nothing_is_read(control: AsyncControl, sent: list[int]) -> int:
    """Wait until a server that has turned several times (each worker answers `stats` in a turn of its own) has read nothing
    more, with hundreds of frames before its door. Returns how many it has read."""
    async with asyncio.timeout(20):
        while True:
            before = (await control.stats()).totals.frames_in
            for _ in range(10):
                after = (await control.stats()).totals.frames_in
            if before == after and len(sent) > after + 200:
                return after


async def test_silent_program_is_given_up_and_its_questions_are_asked_elsewhere(server: ServerProcess) -> None:
    with peer(server.control) as silent:
        assert silent.result("attach", heartbeat=1)["program"]
        newcomer = asyncio.create_task(connected(f"{server.url}?id=alice"))
        await question(silent)
        async with AsyncControl(server.control) as control, control.attach(admit) as bridge:
            client = await newcomer
            assert (await anext(bridge)).connection == "alice"
            await client.close()
            assert (await anext(bridge)).op == "disconnected"


async def connected(url: str) -> ClientConnection:
    """A client that takes in everything, so that its close is never stuck behind frames that the test does not want."""
    return await connect(url, max_queue=None)


async def test_worker_that_dies_takes_its_connections_along(server: ServerProcess) -> None:
    async with AsyncControl(server.control) as control, control.attach(admit) as bridge:
        client = await connected(f"{server.url}?id=alice")
        assert (await anext(bridge)).op == "connected"
        shard = (await control.connections())[0].shard
        os.kill(server.worker_pids()[shard], signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        async with asyncio.timeout(5):
            gone = await anext(bridge)
        assert (gone.op, gone.connection) == ("disconnected", "alice")
        assert gone.error is not None
        assert gone.error["type"] == "ShardUnavailableError"


async def test_shutdown_does_not_wait_for_frames_that_nobody_takes(server: ServerProcess) -> None:
    with peer(server.control) as program:
        attach_plain(program)
        client = await accepted(program, f"{server.url}?id=alice")
        program.result("detach")
        for _ in range(50):
            await client.send('{"payload": 1}')
        async with AsyncControl(server.control) as control, asyncio.timeout(10):
            while (await control.stats()).totals.frames_in < 16:
                pass
        begin = asyncio.get_running_loop().time()
        server.terminate()
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1001
        assert await asyncio.to_thread(server.wait) == 0
        assert asyncio.get_running_loop().time() - begin < 5


async def test_program_that_gives_no_credit_is_told_later_of_those_that_matter_alone() -> None:
    """One worker: what it tells comes in one order."""
    with serve_process("--app", "bridge", workers=1) as server, peer(server.control) as program:
        assert program.result("attach", window=1, heartbeat=60)["program"]
        first = await accepted(program, f"{server.url}?id=first")
        assert next_item(program)["op"] == "connected"
        for number in range(50):
            await (await accepted(program, f"{server.url}?id=passer-by-{number}")).close()
        talker = await accepted(program, f"{server.url}?id=talker")
        await talker.send('{"payload": 1}')
        await talker.close()
        await first.close()
        last = await accepted(program, f"{server.url}?id=last")
        told: dict[str, list[str]] = {}
        # The talker's end comes when its worker has seen that its frame is not taken yet.
        while "last" not in told or "disconnected" not in told.get("talker", ()):
            program.raw(b'{"op":"credit","args":{"count":1}}')
            item = next_item(program)
            told.setdefault(item["args"]["connection"], []).append(item["op"])
        assert told == {
            "talker": ["connected", "message", "disconnected"],
            "first": ["disconnected"],
            "last": ["connected"],
        }
        await last.close()


async def test_plain_json_program_sees_payloads_byte_for_byte(server: ServerProcess) -> None:
    with peer(server.control) as program:
        attach_plain(program)
        client = await accepted(program, f"{server.url}?id=alice&room=den")
        connected_item = next_item(program)
        assert connected_item == {"op": "connected", "args": {"connection": "alice", "room": "den", "adopted": False}}
        await client.send('{"event":"e","payload":{"a": 1.50, "big": 123456789012345678901234567890},"id":"3"}')
        data = program.receive_bytes()
        while b'"ping"' in data:
            data = program.receive_bytes()
        assert b'"payload":{"a": 1.50, "big": 123456789012345678901234567890}' in data
        assert program.error("credit", count=0) == "bad_request"
        program.raw(b'{"op":"credit","args":{"count":1}}')
        program.result("send", connection="alice", frame={"event": "reply"})
        assert json.loads(await client.recv()) == {"event": "reply"}
        await client.close()
        assert next_item(program)["args"]["error"] is None


def attach_plain(program: Peer) -> None:
    assert program.result("attach", window=100, heartbeat=60)["program"]


async def accepted(program: Peer, url: str) -> ClientConnection:
    """Connect, with the program saying yes to whatever `?id=` and `?room=` say."""
    newcomer = asyncio.create_task(connected(url))
    asked = await question(program)
    query = asked["args"]["query"]
    result = {"room": query.get("room", "lobby"), "connection": query["id"]}
    program.raw(json.dumps({"id": asked["id"], "ok": True, "result": result}).encode())
    return await newcomer


async def question(program: Peer) -> Any:
    """The next question of who somebody is; the loop goes on meanwhile, since its clients connect in it."""
    while True:
        await eventually(lambda: program.socket.poll(0), "the program is told something")
        message = program.receive()
        if message["op"] == "connect":
            return message


def next_item(program: Peer) -> Any:
    while True:
        message = program.items.pop(0) if program.items else program.receive()
        if message.get("op") != "ping":
            return message


async def test_attach_is_refused_where_there_is_no_bridge() -> None:
    with serve_process("--app", "echo", workers=1) as server:
        async with AsyncControl(server.control) as control:
            with pytest.raises(ControlError) as refused:
                async with control.attach(admit):
                    pass
            assert refused.value.error_code == "unknown_op"
