"""A server that carries an HTTP application: each request reaches its own side, on one port, with several workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect

from tests.support.contract.server import ContractServer, contract_server
from tests.support.eventually import eventually
from tests.support.http.http_client import CHUNK, HttpClient
from tests.support.processes.server_process import run_to_end
from tests.support.wire.raw_peer import RawPeer, head

HTTP_APP = ("--http-app", "tests.support.http.http_app:app")

UPLOAD_BYTES = int(os.environ.get("HTTP_UPLOAD_MB", "20")) * 1024 * 1024

FLAT_BYTES = 12 * 1024 * 1024
"""What a worker may grow by while a body of any size goes through it."""


@pytest.fixture(scope="module", params=[2, 4], ids=["2 workers", "4 workers"])
def carrying(request: pytest.FixtureRequest) -> Iterator[ContractServer]:
    with contract_server(request.param, *HTTP_APP) as server:
        yield server


def port_of(server: ContractServer) -> int:
    return server.process.port


async def test_broadcast_from_a_route_reaches_the_members_of_every_worker(carrying: ContractServer) -> None:
    room = carrying.new_id("room")
    clients = await carrying.clients_on_all_shards(room)
    shards = set()
    for number in range(12):
        async with await HttpClient.dial(port_of(carrying)) as http:
            shards.add((await http.post(f"/say/{room}?text={number}")).json()["shard"])
            assert len((await http.get(f"/members/{room}")).json()) == carrying.workers
        for client in clients:
            assert await client.expect("said") == str(number)
    for client in clients:
        await client.close()
    assert shards


async def test_connection_is_kept_for_many_requests_ours_among_them(carrying: ContractServer) -> None:
    async with await HttpClient.dial(port_of(carrying)) as http:
        for _ in range(20):
            assert (await http.get("/")).body == b"hello"
        assert (await http.get("/nowhere")).status == 404
        assert (await http.get("/healthz")).body == b"ok"
        assert (await http.get("/ws")).status == 426
        assert (await http.get("/")).body == b"hello"
        assert "date" in (await http.get("/")).headers


async def test_upgrade_on_a_connection_that_was_used_for_http_is_ours(carrying: ContractServer) -> None:
    for shard in range(carrying.workers):
        name = carrying.new_id("later", shard)
        async with await HttpClient.dial(port_of(carrying)) as http:
            assert (await http.get("/")).status == 200
            http.writer.write(head(f"/ws?id={name}&room={name}"))
            async with RawPeer(http.reader, http.writer) as peer:
                assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
                async with await HttpClient.dial(port_of(carrying)) as other:
                    await other.post(f"/say/{name}?text=hi")
                assert await peer.expect("said") == "hi"


async def test_applications_own_websocket_works_beside_ours(carrying: ContractServer) -> None:
    url = f"ws://127.0.0.1:{port_of(carrying)}/app-ws"
    async with connect(url) as theirs, await carrying.client(carrying.new_id()) as ours:
        await theirs.send("to the application")
        assert await theirs.recv() == "to the application"
        await ours.send("echo", 1)
        assert await ours.expect("echo") == 1
    async with await HttpClient.dial(port_of(carrying)) as http:
        await http.get("/")
        http.writer.write(head("/app-ws"))
        async with RawPeer(http.reader, http.writer) as peer:
            assert (await peer.head()).startswith(b"HTTP/1.1 101 ")


async def test_request_line_may_come_byte_by_byte(carrying: ContractServer) -> None:
    for target, status in (("/", b"200"), ("/ws", b"426"), ("/healthz", b"200")):
        async with await RawPeer.dial(port_of(carrying)) as peer:
            for byte in f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode():
                peer.writer.write(bytes((byte,)))
                await peer.writer.drain()
                await asyncio.sleep(0)
            assert (await peer.rest()).startswith(b"HTTP/1.1 " + status)


async def test_what_is_no_http_is_refused(carrying: ContractServer) -> None:
    for first, answer in (
        (b"\x16\x03\x01 this is TLS, or worse\r\n\r\n", b""),
        (b"no request\r\n\r\n", b"HTTP/1.1 400 "),
    ):
        async with await RawPeer.dial(port_of(carrying)) as peer:
            peer.writer.write(first)
            assert (await peer.rest())[:13] == answer


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_pass_with_flat_memory(carrying: ContractServer, chunked: bool) -> None:
    pids = list(carrying.process.worker_pids().values())
    count = UPLOAD_BYTES // len(CHUNK)
    async with await HttpClient.dial(port_of(carrying)) as http:
        await http.post("/upload", chunk=CHUNK, count=16, chunked=chunked)
        await http.get("/download?chunks=16")
        before = sum(psutil.Process(pid).memory_info().rss for pid in pids)
        peak = before

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, sum(psutil.Process(pid).memory_info().rss for pid in pids))
                await asyncio.sleep(0.01)

        watching = asyncio.create_task(watch())
        answer = await http.post("/upload", chunk=CHUNK, count=count, chunked=chunked)
        assert int(answer.body) == count * len(CHUNK)
        assert (await http.get(f"/download?chunks={count}")).size == count * len(CHUNK)
        watching.cancel()
        assert peak - before < FLAT_BYTES, f"the workers grew by {peak - before} bytes"


async def test_heads_without_an_end_take_no_memory(carrying: ContractServer) -> None:
    pids = list(carrying.process.worker_pids().values())
    line = b"X-Endless: " + b"x" * 1000 + b"\r\n"
    before = sum(psutil.Process(pid).memory_info().rss for pid in pids)

    async def pour() -> bytes:
        async with await RawPeer.dial(port_of(carrying)) as peer:
            peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for _ in range(100):
                if peer.writer.is_closing():
                    break
                peer.writer.write(line * 50)
                await asyncio.sleep(0)
            return await peer.rest()

    answers = await asyncio.gather(*(pour() for _ in range(8)))
    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 431 "}
    grown = sum(psutil.Process(pid).memory_info().rss for pid in pids) - before
    assert grown < FLAT_BYTES, f"the workers grew by {grown} bytes"


async def test_lifespan_runs_once_per_worker_and_the_requests_in_flight_end_before_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with contract_server(2, *HTTP_APP, env={"HTTP_APP_LOG": str(log)}) as server:
        assert sorted(log.read_text().split("\n")[:-1]) == ["start 0", "start 1"]
        async with await server.client(server.new_id()) as client, await HttpClient.dial(port_of(server)) as http:
            request = asyncio.create_task(http.get("/slow?seconds=1"))
            await eventually(lambda: "slow begins" in log.read_text(), "the request has begun", 10)
            server.process.terminate()
            assert await client.closed() == (1001, "server shutting down")
            assert (await request).body == b"slow"
        assert await asyncio.to_thread(server.process.wait) == 0
        assert sorted(log.read_text().split("\n")[:-1])[-2:] == ["stop 0", "stop 1"]


async def test_request_that_does_not_end_is_cancelled_within_the_drain(tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = {"HTTP_APP_LOG": str(log)}
    with contract_server(2, *HTTP_APP, "--shutdown-timeout", "2", env=env) as server:
        async with await HttpClient.dial(port_of(server)) as http:
            request = asyncio.create_task(http.get("/slow?seconds=60"))
            await eventually(lambda: "slow begins" in log.read_text(), "the request has begun", 10)
            server.process.terminate()
            assert await asyncio.to_thread(server.process.wait) == 0
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await request
        assert "stop 0" in log.read_text()
        assert "killed" not in server.process.stderr()


async def test_route_that_closes_the_server_still_answers() -> None:
    with contract_server(2, *HTTP_APP) as server:
        async with await server.client(server.new_id()) as client, await HttpClient.dial(port_of(server)) as http:
            answer = asyncio.create_task(http.post("/close"))
            assert await client.closed() == (1001, "server shutting down")
            assert (await answer).body == b"closed"
        assert await asyncio.to_thread(server.process.wait) == 0


def test_http_app_that_is_not_there_ends_the_start_with_a_sentence() -> None:
    finished = run_to_end("--http-app", "json:app", "--port", "0", "--workers", "1")
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].startswith("wspulse: --http-app: ")
    finished = run_to_end("--http-app", "app", "--port", "0")
    assert finished.returncode == 2
    assert "is not MODULE:ATTR" in finished.stderr


def test_missing_extra_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "web.py").write_text(
        "import sys, importlib.util\n"
        "find = importlib.util.find_spec\n"
        "import wspulse.actors.accept.http_app as http_app\n"
        "http_app.find_spec = lambda name: None if name == 'uvicorn' else find(name)\n"
        "async def app(scope, receive, send): ...\n"
    )
    finished = run_to_end("--http-app", "web:app", "--port", "0", "--workers", "1", cwd=tmp_path)
    assert finished.returncode == 2
    assert "uvicorn is not installed; pip install 'wspulse[http]'" in finished.stderr
