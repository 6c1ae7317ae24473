"""The control socket while workers die, hang and are replaced, and against hostile requests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from random import Random

import msgspec
import pytest
import zmq
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from tests.support.control.control_peer import Peer, peer
from tests.support.eventually import eventually
from tests.support.processes.server_process import serve_process, wait_until
from wspulse import AsyncControl, Control, ControlError
from wspulse.actors.mesh.placement import Placement

DEADLINE_S = 5.0
"""Of a request to a shard."""


async def test_every_request_is_answered_in_time_while_a_worker_is_killed() -> None:
    with serve_process("--app", "relay", workers=4) as server:
        ids = [Placement(4).new_id(number % 4) for number in range(8)]
        outcomes: Counter[str] = Counter()

        async def one(control: AsyncControl, number: int) -> None:
            begin = time.monotonic()
            try:
                if number % 3 == 0:
                    await control.broadcast("lobby", {"payload": number})
                elif number % 3 == 1:
                    await control.send(ids[number % 8], {"payload": number})
                else:
                    await control.connections()
                outcomes["done"] += 1
            except ControlError as error:
                outcomes[error.error_code] += 1
            assert time.monotonic() - begin < DEADLINE_S + 1.5

        async def client() -> None:
            async with AsyncControl(server.control, timeout=DEADLINE_S + 5) as control:
                await asyncio.gather(*(one(control, number) for number in range(50)))
                await asyncio.gather(*(one(control, number) for number in range(50)))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(client())
            await eventually(lambda: outcomes["done"] > 100, "they are in the middle of it")
            os.kill(server.worker_pids()[2], signal.SIGKILL)
        assert sum(outcomes.values()) == 20 * 100
        assert set(outcomes) <= {"done", "shard_unavailable", "connection_not_found"}, outcomes
        assert outcomes["done"] > 500
        with Control(server.control) as control:
            wait_until(lambda: all(w.state == "ready" for w in control.stats().workers), 10, "it is there again")


def test_stuck_worker_delays_only_what_is_for_it() -> None:
    with serve_process("--app", "relay", workers=3) as server, peer(server.control) as program:
        placement = Placement(3)
        stuck, well = placement.new_id(0), placement.new_id(1)
        with connect(f"{server.url}?id={stuck}"), connect(f"{server.url}?id={well}") as client:
            os.kill(server.worker_pids()[0], signal.SIGSTOP)
            try:
                begin = time.monotonic()
                waiting = program.send("send", connection=stuck, frame={"payload": 1})
                listing = program.send("connections")
                quick = program.send("send", connection=well, frame={"payload": 2})
                assert program.receive() == {"id": quick, "ok": True, "result": None}
                assert client.recv(timeout=5) == '{"payload":2}'
                assert time.monotonic() - begin < 1
                stats = program.send("stats")
                answer = program.receive()
                assert answer["id"] == stats
                assert time.monotonic() - begin < 4
                assert [worker["state"] for worker in answer["result"]["workers"]] == ["silent", "ready", "ready"]
                late = {answer["id"]: answer for answer in (program.receive(), program.receive())}
                assert late[waiting]["error"]["code"] == "shard_unavailable"
                assert [each["id"] for each in late[listing]["result"]] == [well]
                assert late[listing]["incomplete"] == [0]
                assert 4.5 < time.monotonic() - begin < 6.5
                begin = time.monotonic()
                program.send("rooms")
                answer = program.receive()
                assert (answer["result"], answer["incomplete"]) == ([{"id": "lobby", "connections": 1}], [0])
                assert time.monotonic() - begin < 1
                # By now it is known to be silent: a broadcast goes by way of another shard.
                for room in ("a", "b", "c", "lobby"):
                    program.result("broadcast", room=room, frame={"payload": 3})
                assert client.recv(timeout=5) == '{"payload":3}'
            finally:
                os.kill(server.worker_pids()[0], signal.SIGCONT)


def test_dead_shard_is_left_out_of_lists() -> None:
    with serve_process("--app", "relay", workers=2) as server, peer(server.control) as program:
        placement = Placement(2)
        with connect(f"{server.url}?id={placement.new_id(0)}"), connect(f"{server.url}?id={placement.new_id(1)}"):
            assert program.result("rooms") == [{"id": "lobby", "connections": 2}]
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            wait_until(lambda: 0 not in server.worker_pids(), 5, "the worker is gone")
            begin = time.monotonic()
            assert program.result("rooms") == [{"id": "lobby", "connections": 1}]
            assert [each["shard"] for each in program.result("connections")] == [1]
            assert time.monotonic() - begin < 4


@pytest.mark.parametrize("workers", [1, 4])
async def test_restart_moves_the_sessions_of_one_worker_and_refuses_no_newcomer(workers: int) -> None:
    with serve_process("--app", "relay", workers=workers) as server:
        placement = Placement(workers)
        before = server.worker_pids()
        ended = asyncio.Event()
        statuses: Counter[str] = Counter()

        async def come_and_go(shard: int) -> None:
            while not ended.is_set():
                try:
                    client = await connect_async(f"{server.url}?id={placement.new_id(shard)}", open_timeout=20)
                except InvalidStatus as error:
                    statuses[str(error.response.status_code)] += 1
                except (OSError, WebSocketException) as error:
                    statuses[repr(error)] += 1
                else:
                    statuses["connected"] += 1
                    client.transport.abort()
                    await client.wait_closed()

        async with (
            connect_async(f"{server.url}?id={placement.new_id(0)}") as client,
            AsyncControl(server.control) as control,
        ):
            async with asyncio.TaskGroup() as tasks:
                for shard in range(workers):
                    tasks.create_task(come_and_go(shard))
                moved = await control.restart(0)
                ended.set()
            assert (moved.moved > 0, moved.drained) == (True, 0)
            await client.send('{"event":"still here"}')
            assert await asyncio.wait_for(client.recv(), 5) == '{"event":"still here"}'
            assert statuses.keys() == {"connected"}, statuses
            after = server.worker_pids()
            assert {shard for shard in before if before[shard] != after[shard]} == {0}
            assert [worker.restarts for worker in (await control.stats()).workers] == [0] * workers


def test_reload_replaces_every_worker() -> None:
    with serve_process("--app", "relay", workers=2) as server, Control(server.control) as control:
        before = server.worker_pids()
        control.reload()
        after = server.worker_pids()
        assert all(before[shard] != after[shard] for shard in (0, 1))
        assert control.stats().totals.restarts == 0


def test_shutdown_is_answered_and_ends_the_server_in_order() -> None:
    with serve_process("--app", "relay", workers=2) as server, peer(server.control) as program:
        assert program.result("shutdown") is None
        assert server.wait() == 0


# Hostile requests.

OPS = ["ping", "send", "broadcast", "kick", "connections", "rooms", "stats", "restart", "attach", "", "nope", "é" * 300]


def test_hostile_requests_do_no_harm(draw: Random) -> None:
    rounds = int(os.environ.get("WSPULSE_FUZZ_REQUESTS", "2000"))
    with serve_process("--app", "relay", workers=2) as server, ExitStack() as stack:
        assert server.control is not None
        program = stack.enter_context(peer(server.control))
        hostile = Peer(program.context, server.control)
        pids = server.worker_pids()
        hostile_requests(hostile, draw, rounds // 4)
        before = program.result("stats")
        hostile_requests(hostile, draw, rounds - rounds // 4)
        with connect(f"{server.url}?id=alice") as client:
            program.result("send", connection="alice", frame={"event": "still", "payload": True})
            assert client.recv(timeout=10) == '{"event":"still","payload":true}'
        after = program.result("stats")
        assert server.worker_pids() == pids
        assert after["rss_bytes"] - before["rss_bytes"] < 30_000_000
        assert "Traceback" not in server.stderr(), server.stderr()


def hostile_requests(hostile: Peer, draw: Random, count: int) -> None:
    makers: list[Callable[[Random], list[bytes]]] = [noise, valid, truncated, mutated, nested, many_parts, huge]
    for number in range(count):
        parts = draw.choices(makers, (20, 30, 20, 20, 5, 4, 1))[0](draw)
        hostile.socket.send_multipart(parts)
        while number % 20 == 0 and hostile.socket.poll(0):
            hostile.socket.recv_multipart()


def noise(draw: Random) -> list[bytes]:
    return [draw.choice([b"{", b""]) + draw.randbytes(draw.randrange(200))]


def value(draw: Random, depth: int = 0) -> object:
    kinds: list[Callable[[], object]] = [
        lambda: None,
        lambda: draw.randrange(-(2**63), 2**63),
        lambda: draw.random() * 10.0 ** draw.randrange(-300, 300),
        lambda: "".join(chr(draw.randrange(32, 0xD000)) for _ in range(draw.randrange(20))),
        lambda: draw.choice(["alice", "lobby", "", "\0", "x" * 5000]),
        lambda: [value(draw, depth + 1) for _ in range(draw.randrange(4))] if depth < 4 else [],
        lambda: {"event": value(draw, 4), "payload": value(draw, depth + 1)} if depth < 4 else {},
    ]
    return draw.choice(kinds)()


def encoded(draw: Random) -> bytes:
    args: dict[str, object] = {
        name: value(draw)
        for name in draw.sample(["connection", "room", "frame", "shard", "event", "other"], draw.randrange(4))
    }
    op = draw.choice(OPS)
    if op == "restart":
        args["shard"] = draw.choice([-1, 99, "0", None, 2**70 if draw.random() < 0.2 else 7])
    request: dict[str, object] = {"id": value(draw, 3), "op": op, "args": draw.choice([args, args, args, value(draw)])}
    if draw.random() < 0.1:
        request = {"id": draw.randrange(5), "ok": draw.choice([True, False, None]), "result": value(draw)}
    try:
        return json.dumps(request).encode() if draw.random() < 0.5 else msgspec.msgpack.encode(request)
    except OverflowError:
        return b"{}"


def valid(draw: Random) -> list[bytes]:
    return [encoded(draw)]


def truncated(draw: Random) -> list[bytes]:
    data = encoded(draw)
    return [data[: draw.randrange(len(data))]]


def mutated(draw: Random) -> list[bytes]:
    data = bytearray(encoded(draw))
    for _ in range(draw.randrange(1, 4)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    # Whatever it has become, it must not end the server or one of its workers: those two are tested elsewhere.
    return [bytes(data)] if b"shutdown" not in data and b"reload" not in data else [b""]


def nested(draw: Random) -> list[bytes]:
    depth = draw.randrange(500, 100_000)
    return [
        draw.choice([b'{"a":' * depth, b'{"id":1,"op":"ping","args":' + b"[" * depth, b"\x91" * depth, b"\x81" * depth])
    ]


def many_parts(draw: Random) -> list[bytes]:
    return [draw.randbytes(draw.randrange(5)) for _ in range(draw.randrange(2, 200))]


def huge(draw: Random) -> list[bytes]:
    return [
        b'{"id":1,"op":"send","args":{"connection":"nobody","frame":{"payload":"' + b"x" * draw.randrange(2_000_000)
    ]


def test_identity_that_comes_twice_and_empty_delimiters_are_answered() -> None:
    with serve_process("--app", "relay", workers=1) as server:
        assert server.control is not None
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        sockets = []
        try:
            for number in range(3):
                socket = context.socket(zmq.DEALER)
                sockets.append(socket)
                socket.setsockopt(zmq.IDENTITY, b"program")
                socket.connect(server.control)
                socket.send_multipart([b"", b"", b'{"id":%d,"op":"rooms"}' % number])
                assert socket.poll(10_000)
                assert socket.recv_multipart() == [b"", b"", b'{"id":%d,"ok":true,"result":[]}' % number]
        finally:
            context.destroy(linger=0)
