"""The admin address of real servers: what it tells of them, and that neither harms the other."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.support.control.admin_stage import Asked, ask
from tests.support.control.exposition_lint import lint, read
from tests.support.eventually import eventually
from tests.support.processes.server_process import ServerProcess, run_to_end, serve_process, wait_until
from tests.support.wire.raw_peer import RawPeer, masked
from wspulse.actors.values.telemetry.contract import MEASUREMENTS

TEXT = 1


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serve_process("--app", "relay", "--admin", "127.0.0.1:0") as server:
        yield server


def admin_port(server: ServerProcess) -> int:
    found = re.search(r"the admin address is open \(url=http://127\.0\.0\.1:(\d+)/\)", server.stderr())
    assert found is not None, server.stderr()
    return int(found[1])


def admin_pid(server: ServerProcess) -> int | None:
    for child in psutil.Process(server.pid).children():
        try:
            if " ".join(child.cmdline()).rstrip("\0 ") == "wspulse: admin":
                return int(child.pid)
        except psutil.Error:
            continue
    return None


async def ready(port: int) -> Asked:
    return await ask(port, "/ready")


def promtool(text: str) -> str | None:
    """What Prometheus's own tool says against it; None where there is none (Debian: apt-get install prometheus)."""
    tool = shutil.which("promtool")
    if tool is None:
        return None
    checked = subprocess.run([tool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    return checked.stdout + checked.stderr


async def test_metrics_of_a_real_server_pass_the_lint_and_agree_with_what_was_sent(server: ServerProcess) -> None:
    port = admin_port(server)
    frame = masked(TEXT, json.dumps({"event": "hi"}).encode())
    async with (
        await RawPeer.upgraded(server.port, "/ws?id=%3Cb%3Eone&room=x%7By%7D") as one,
        await RawPeer.upgraded(server.port, "/ws?id=two&room=zwei") as two,
    ):
        for peer, count in ((one, 3), (two, 2)):
            for _ in range(count):
                peer.writer.write(frame)
            for _ in range(count):
                await peer.frame()
        wanted = {"wspulse_frames_received_total": 5, "wspulse_frames_sent_total": 5, "wspulse_sessions": 2}

        async def figures() -> str:
            answer = await ask(port, "/metrics")
            assert answer.status == 200
            return answer.text

        def sums(text: str) -> dict[str, float]:
            _, _, series = read(text)
            return {name: sum(value for (other, _), value in series.items() if other == name) for name in wanted}

        text = await figures()
        while sums(text) != wanted:
            text = await figures()
        assert lint(text) == []
        assert await asyncio.to_thread(promtool, text) in (None, "")
        labels = [dict(labels) for _, labels in read(text)[2]]
        values = {value for each in labels for value in each.values()}
        assert not any(name in value for value in values for name in ("two", "zwei", "<b>", "x{")), "no client's"
        assert read(text)[0].keys() == {measurement.name for measurement in MEASUREMENTS}
        upgraded = sum(value for (name, _), value in read(text)[2].items() if name == "wspulse_upgrade_seconds_count")
        assert upgraded == 2, "its workers measure what costs something"
        assert {each.get("shard") for each in labels} >= {"0", "1"}
    assert (await ready(port)).text == "ok\n"


async def test_process_that_is_killed_comes_back_and_no_client_notices(server: ServerProcess) -> None:
    port, pid = admin_port(server), admin_pid(server)
    assert pid is not None
    async with await RawPeer.upgraded(server.port, "/ws?id=stays") as peer:
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: admin_pid(server) not in (None, pid), "another one is there")
        assert (await ready(port)).text == "ok\n"
        peer.writer.write(masked(TEXT, b'{"event":"hi"}'))
        assert await peer.frame()
    died = "a companion process died (companion=admin, end=was killed by SIGKILL"
    assert server.stderr().count(died) == 1


async def test_server_that_drains_is_not_ready_and_leaves_nothing() -> None:
    with serve_process("--admin", "127.0.0.1:0", "--drain-spread", "1.5") as server:
        port = admin_port(server)
        peers = [await RawPeer.upgraded(server.port, f"/ws?id=c{number}") for number in range(8)]
        server.terminate()
        while (answer := await ready(port)).status == 200:
            pass
        assert answer.status == 503
        assert "is draining" in answer.text
        for peer in peers:
            await peer.close()
        assert server.wait() == 0
        server.wait_gone()


def test_killed_server_leaves_no_process_at_its_admin_address_and_the_next_one_has_it() -> None:
    with serve_process("--admin", "127.0.0.1:0") as server:
        port = admin_port(server)
        server.kill()
        with serve_process("--port", str(server.port), "--admin", f"127.0.0.1:{port}") as successor:
            assert admin_port(successor) == port
            socket.create_connection(("127.0.0.1", port)).close()
        server.wait_gone()


def test_admin_address_that_is_taken_stops_the_start_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        finished = run_to_end("--port", "0", "--admin", f"127.0.0.1:{other.getsockname()[1]}")
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr.startswith("wspulse: --admin: 127.0.0.1:")


def test_admin_process_passes_over_the_signals_of_a_terminal(server: ServerProcess) -> None:
    pid = admin_pid(server)
    assert pid is not None
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        os.kill(pid, number)
    wait_until(lambda: "a signal that the server does not use was ignored" in server.stderr(), 10, "it has said so")
    assert admin_pid(server) == pid
