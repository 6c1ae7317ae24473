"""A server that speaks TLS by itself: real clients, real terminators, real workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.eventually import eventually
from tests.support.http.authority import Authority
from tests.support.processes.browser import Browser, find_chromium
from tests.support.processes.server_process import ServerProcess, run_to_end, serve_process, wait_until
from wspulse import AsyncControl, ControlError

CHROMIUM = find_chromium()

APPLICATION = """
from wspulse import Connection, Frame, Request, Server

server = Server(lambda request: ("room", request.query.get("id", "")), max_message_size=1 << 20, write_wait=2)


@server.on_message
async def relay(connection: Connection, frame: Frame) -> None:
    if frame.event == "who":
        request = connection.request
        await connection.send(Frame("you", [*request.remote_address, request.scheme]))
    else:
        await server.broadcast(connection.room_id, frame, exclude=[connection.id])
"""


@pytest.fixture
def authority() -> Authority:
    return Authority()


def flags(folder: Path, authority: Authority, *more: str) -> tuple[str, ...]:
    (folder / "secure.py").write_text(APPLICATION)
    certificate, key = authority.certificate(folder)
    return ("--app", "secure:server", "--tls-cert", str(certificate), "--tls-key", str(key), *more)


def dial(server: ServerProcess, authority: Authority, name: str, context: ssl.SSLContext | None = None) -> connect:
    return connect(
        f"wss://localhost:{server.port}/ws?id={name}",
        host="127.0.0.1",
        ssl=context or authority.client_context(),
        compression=None,
        ping_interval=None,
    )


async def told(client: ClientConnection) -> list[object]:
    await client.send('{"event":"who"}')
    answer: list[object] = json.loads(await asyncio.wait_for(client.recv(), 5))["payload"]
    return answer


def own_runtime_directories(folder: Path) -> dict[str, str]:
    """The variables with which a server, and the next one on its port, have theirs there."""
    folder.chmod(0o700)
    (folder / "run").mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(folder / "run")}


def terminators(server: ServerProcess) -> dict[int, int]:
    found = {}
    for child in psutil.Process(server.pid).children():
        with suppress(psutil.Error):  # it has ended meanwhile
            if match := re.match(r"wspulse: tls (\d+)", " ".join(child.cmdline())):
                found[int(match[1])] = child.pid
    return found


@pytest.mark.parametrize("workers", [1, 4])
async def test_clients_over_tls_stay_through_a_reload_and_know_each_other(
    workers: int, tmp_path: Path, authority: Authority
) -> None:
    with serve_process(*flags(tmp_path, authority, "--tls-terminators", "2"), workers=workers, cwd=tmp_path) as server:
        assert server.url == f"wss://127.0.0.1:{server.port}/ws"
        before = terminators(server)
        clients = [await dial(server, authority, f"c{number}") for number in range(8)]
        try:
            for client in clients:
                assert await told(client) == [*client.local_address[:2], "wss"]
            async with AsyncControl(server.control or "") as control:
                moved = await control.reload()
            assert sum(each.moved for each in moved) == 8
            text = "x" * 700_000
            await clients[0].send(json.dumps({"event": "said", "payload": text}))
            for client in clients[1:]:
                assert json.loads(await asyncio.wait_for(client.recv(), 5))["payload"] == text
            for client in clients:
                assert await told(client) == [*client.local_address[:2], "wss"]
        finally:
            for client in clients:
                await client.close()
        assert terminators(server) == before


async def test_certificate_is_read_again_at_a_reload_and_a_bad_one_changes_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    def shown() -> str | None:
        context = authority.client_context()
        sock = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
            certificate = wrapped.getpeercert()
            return None if certificate is None else str(certificate["serialNumber"])

    with serve_process(*flags(tmp_path, authority), workers=1, cwd=tmp_path) as server:
        first = await asyncio.to_thread(shown)
        async with dial(server, authority, "ann") as client, AsyncControl(server.control or "") as control:
            (replaced,) = server.worker_pids().values()
            authority.certificate(tmp_path)
            server.signal(signal.SIGHUP)
            await eventually(lambda: shown() != first, "the new certificate is shown", 15)
            second = shown()
            await eventually(lambda: not psutil.pid_exists(replaced), "the worker was replaced", 30)
            worker = server.worker_pids()
            authority.certificate(tmp_path, expires=datetime.now(UTC) - timedelta(days=1))
            with pytest.raises(ControlError, match=r"nothing was reloaded: --tls-cert: .* has expired"):
                await control.reload()
            assert await asyncio.to_thread(shown) == second
            assert await told(client) == [*client.local_address[:2], "wss"]
            await eventually(lambda: server.worker_pids() == worker, "no worker was replaced", 15)


def test_bad_certificate_keeps_the_server_from_starting_and_says_why(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.certificate(tmp_path)
    key.write_text("nothing")
    ended = run_to_end("--tls-cert", str(certificate), "--tls-key", str(key), cwd=tmp_path)
    assert ended.returncode == 1
    assert "--tls-cert: " in ended.stderr
    assert "are not a certificate and its key in PEM" in ended.stderr
    ended = run_to_end("--tls-cert", str(certificate), cwd=tmp_path)
    assert (ended.returncode, "--tls-cert: requires --tls-key" in ended.stderr) == (2, True)


async def test_plain_and_ancient_clients_are_refused_and_others_notice_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    with serve_process(*flags(tmp_path, authority), workers=1, cwd=tmp_path) as server:
        async with dial(server, authority, "ann") as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP")
            writer.close()
            ancient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ancient.check_hostname, ancient.verify_mode = False, ssl.CERT_NONE
            ancient.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSVersion.TLSv1_1"):
                ancient.minimum_version = ancient.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await dial(server, authority, "old", ancient)
            modest = authority.client_context()
            modest.maximum_version = ssl.TLSVersion.TLSv1_2
            async with dial(server, authority, "modest", modest) as other:
                assert await told(other)
            assert await told(client)


async def test_end_of_either_side_is_the_end_of_the_other(tmp_path: Path, authority: Authority) -> None:
    with serve_process(*flags(tmp_path, authority), workers=2, cwd=tmp_path) as server:
        async with AsyncControl(server.control or "") as control:

            async def ids() -> set[str]:
                return {each.id for each in await control.connections()}

            polite, rude, kicked = [await dial(server, authority, name) for name in ("polite", "rude", "kicked")]
            assert await ids() == {"polite", "rude", "kicked"}
            await polite.close()
            rude.transport.abort()
            await control.kick("kicked")
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(kicked.recv(), 5)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "kicked")
            async with asyncio.timeout(5):
                while await ids():
                    pass


async def test_client_that_reads_nothing_is_cut_off_and_its_neighbours_notice_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    with serve_process(*flags(tmp_path, authority), workers=1, cwd=tmp_path) as server:
        async with (
            dial(server, authority, "reader") as reader,
            dial(server, authority, "writer") as writer,
            AsyncControl(server.control or "") as control,
        ):
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.settimeout(10)
            stuck = authority.client_context().wrap_socket(sock, server_hostname="localhost")
            stuck.send(
                b"GET /ws?id=stuck HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert stuck.recv(4096).startswith(b"HTTP/1.1 101 ")
            payload = json.dumps({"event": "said", "payload": "x" * 200_000})
            async with asyncio.timeout(30):
                while (await control.stats()).totals.peers_stalled == 0:
                    await writer.send(payload)
                    await reader.recv()
            stuck.close()
            assert await told(reader)


async def test_terminator_that_dies_is_replaced_and_what_others_have_stays_whatever_the_files_say_by_then(
    tmp_path: Path, authority: Authority
) -> None:
    with serve_process(*flags(tmp_path, authority, "--tls-terminators", "2"), workers=1, cwd=tmp_path) as server:
        clients = [await dial(server, authority, f"c{number}") for number in range(12)]
        (tmp_path / "certificate.pem").write_text("nothing")
        victim = terminators(server)[0]
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: terminators(server).get(0, victim) != victim, "there is another", 15)
        alive = 0
        for client in clients:
            try:
                alive += bool(await told(client))
            except ConnectionClosed:
                pass
            await client.close()
        assert alive == sum(1 for client in clients if client.close_code != 1006)
        async with dial(server, authority, "late") as late:
            assert await told(late)


async def test_terminator_that_stands_still_is_told_and_replaced_after_the_stall_timeout(
    tmp_path: Path, authority: Authority
) -> None:
    with serve_process(*flags(tmp_path, authority, "--stall-timeout", "5"), workers=1, cwd=tmp_path) as server:
        victim = terminators(server)[0]
        os.kill(victim, signal.SIGSTOP)
        await eventually(lambda: "a TLS terminator is silent" in server.stderr(), "it is told", 15)
        await eventually(lambda: terminators(server).get(0, victim) != victim, "there is another", 15)
        assert "a TLS terminator is stuck and is killed" in server.stderr()
        async with dial(server, authority, "late") as late:
            assert await told(late)


async def test_terminator_that_was_stopped_before_its_supervisor_was_killed_does_not_keep_the_port(
    tmp_path: Path, authority: Authority
) -> None:
    env = own_runtime_directories(tmp_path)
    args = flags(tmp_path, authority)
    with serve_process(*args, workers=1, cwd=tmp_path, env=env) as server:
        stopped = terminators(server)[0]
        os.kill(stopped, signal.SIGSTOP)
        server.kill()
        server.wait()
        with serve_process(*args, "--port", str(server.port), workers=1, cwd=tmp_path, env=env) as successor:
            assert (
                f"a process of a killed server still held the port; it was killed too (pid={stopped}"
                in successor.stderr()
            )
            async with dial(successor, authority, "ann") as client:
                assert await told(client)
            server.wait_gone(6.0)


async def test_shutdown_says_1001_over_tls_and_leaves_nobody(tmp_path: Path, authority: Authority) -> None:
    with serve_process(*flags(tmp_path, authority), workers=2, cwd=tmp_path) as server:
        async with dial(server, authority, "ann") as client:
            for number in terminators(server).values():
                os.kill(number, signal.SIGTERM)  # as to all processes of a group: it means the supervisor
            await eventually(lambda: "was ignored (signal=SIGTERM" in server.stderr(), "a terminator has it", 5)
            assert await told(client)
            async with dial(server, authority, "bob") as other:
                assert await told(other)
            server.signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        wait_until(lambda: not server.pids(), 15, "all processes are gone")


async def test_supervisor_that_is_killed_leaves_no_terminator_and_clients_are_told_1001(
    tmp_path: Path, authority: Authority
) -> None:
    with serve_process(*flags(tmp_path, authority), workers=2, cwd=tmp_path) as server:
        async with dial(server, authority, "ann") as client:
            server.signal(signal.SIGKILL)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(client.recv(), 6)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        wait_until(lambda: not server.pids(), 6, "all processes are gone")
        shutil.rmtree(Path((server.control or "").removeprefix("ipc://")).parent)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")
async def test_browser_chats_over_tls_and_a_reload_does_not_touch_its_page(
    tmp_path: Path, authority: Authority
) -> None:
    assert CHROMIUM is not None
    certificate, key = authority.certificate(tmp_path)
    arguments = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with serve_process(*arguments, workers=2, cwd=tmp_path) as server:
        async with Browser.start(CHROMIUM, authority.trusted_by_chromium(certificate)) as browser:
            page = await browser.open(f"https://127.0.0.1:{server.port}/")
            await page.type_into("#name", "Ada")
            await page.click("#join button")
            await page.until("document.body.dataset.state === 'connected'")
            assert await page.evaluate("location.protocol") == "https:"
            async with AsyncControl(server.control or "") as control:
                before = await control.connections()
                assert sum(each.moved for each in await control.reload()) == 1
                assert [each.id for each in await control.connections()] == [each.id for each in before]
            assert await page.evaluate("document.body.dataset.state") == "connected"
            assert page.complaints == []
