"""Servers that are to join a cluster and cannot: each says why and what to do, ends with 1, and shows nobody's password."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.control.admin_stage import ask
from tests.support.processes.nats_servers import NatsServers, nats_servers
from tests.support.processes.server_process import (
    Finished,
    ServerProcess,
    run_to_end,
    serve_process,
    start_process,
    wait_until,
)
from wspulse.supervisor.cluster.service import NO_GATEWAY

SUBJECTS = ", ".join(f'"{subject}"' for subject in ("wspulse.few.>", "WSPULSE.few.>", "$JS.API.>", "$KV.>", "_INBOX.>"))

LACKING = {
    "wspulse.wspulse.>": "wspulse.wspulse.in.0.probe.",
    "$JS.API.STREAM.PURGE.*": "$js.api.stream.purge.wspulse_wspulse_0",
    "$JS.API.STREAM.MSG.GET.*": "$js.api.stream.msg.get.",
    "$KV.>": "$kv.wspulse_wspulse.",
}
"""What a user may not publish who may do all else, and what NATS calls it."""

USERS_WITH_LESS = "\n".join(
    f'{{ user: "less{number}", password: "secret", permissions: {{ publish: {{ deny: "{subject}" }} }} }}'
    for number, subject in enumerate(LACKING)
)

ACCOUNTS = f"""
    accounts {{
        OFF {{ users: [{{ user: "off", password: "secret" }}], jetstream: disabled }}
        FREE {{
            users: [
                {USERS_WITH_LESS}
                {{ user: "none", password: "secret", permissions: {{ publish: "other", subscribe: "other" }} }}
                {{ user: "few", password: "se@c/ret", permissions: {{ publish: [{SUBJECTS}], subscribe: [{SUBJECTS}] }} }}
            ]
            jetstream: enabled
        }}
    }}
"""


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    with nats_servers(tmp_path_factory.mktemp("nats"), options=ACCOUNTS) as servers:
        yield servers


def url_of(nats: NatsServers, user: str, password: str = "secret") -> str:
    return nats.urls[0].replace("//", f"//{user}:{password}@")


def start(url: str, *args: str) -> Finished:
    return run_to_end("--port", "0", "--workers", "1", "--cluster", url, *args)


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("off", r"JetStream is off in NATS \(.*\): enable it"),
        ("stranger", r"refuses these credentials: name a user that it knows"),
        (
            "none",
            r"does not let this user do what a host needs \(.*\): permit it to publish and subscribe to wspulse\.>",
        ),
    ],
)
def test_what_keeps_a_host_out_is_said_and_ends_the_server(nats: NatsServers, user: str, told: str) -> None:
    ended = start(url_of(nats, user))
    assert ended.returncode == 1
    assert re.search(rf"the cluster cannot be joined; the server stops \(reason=.*{told}", ended.stderr), ended.stderr
    assert "secret" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("number", "named"), list(enumerate(LACKING.values())))
def test_what_nats_does_not_permit_is_said_at_the_start_though_it_is_needed_later(
    nats: NatsServers, number: int, named: str
) -> None:
    ended = start(url_of(nats, f"less{number}"))
    assert ended.returncode == 1
    assert "does not let this user do what a host needs" in ended.stderr, ended.stderr
    assert named in ended.stderr
    assert "ready on" not in ended.stdout


def test_second_host_of_a_name_is_told_where_the_first_one_is_and_a_change_of_options_is_a_warning(
    nats: NatsServers,
) -> None:
    url = f"nats://127.0.0.1:{dead_port()},{url_of(nats, 'few', 'se%40c%2Fret')}"
    cluster = ("--cluster", url, "--cluster-name", "few")
    with serve_process(*cluster, "--host-id", "one", workers=1) as first:
        again = start(url, "--cluster-name", "few", "--host-id", "one")
        assert again.returncode == 1
        assert f"a host 'one' is already in this cluster, at {first.url}: stop that one, or give" in again.stderr
        assert "ready on" not in again.stdout
        with serve_process(*cluster, "--host-id", "two", "--resume-window", "77", workers=1) as second:
            for server, other, there, here in ((first, "two", 77, 30), (second, "one", 30, 77)):
                said = f"(hosts={other}, options=resume_window is {there} s there and {here} s here)"
                wait_until(lambda server=server, said=said: said in server.stderr(), 15, "the warning")  # type: ignore[misc]
                assert server.stderr().count("clients are served differently") == 1
            for server in (first, second):
                shown = server.stderr() + server.stdout() + "".join(command_lines(server))
                assert not re.search("se(@|%40)c", shown)


async def test_host_that_waits_for_nats_is_not_ready_until_it_comes(tmp_path: Path) -> None:
    with nats_servers(tmp_path) as nats:
        nats.kill(0)
        port = dead_port()
        args = ("--port", str(port), "--workers", "1", "--cluster", nats.url, "--cluster-wait")
        with start_process(*args) as server:
            async with asyncio.timeout(30):
                while NO_GATEWAY not in await health(port):
                    assert server.is_running(), server.stderr()
            assert "ready on" not in server.stdout()
            nats.start(0)
            server.await_ready()
            async with asyncio.timeout(30):
                while not (await health(port)).startswith("200"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)


async def health(port: int) -> str:
    """Status and text of what the worker says of itself; empty while it does not listen."""
    try:
        answer = await ask(port, "/healthz")
    except OSError:
        await asyncio.sleep(0.05)
        return ""
    return f"{answer.status} {answer.text}"


def test_nats_that_is_too_old_is_said() -> None:
    with old_nats() as url:
        ended = start(url, "--cluster-wait")
    assert ended.returncode == 1
    assert "the NATS server is too old (nats server v2.9.10" in ended.stderr
    assert "it must be 2.11 or newer" in ended.stderr


def test_extra_that_is_not_installed_is_said_with_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['nats'] = sys.modules['setproctitle'] = None")
    ended = run_to_end("--port", "0", "--cluster", "nats://me:secret@host", env={"PYTHONPATH": str(tmp_path)})
    assert ended.returncode == 1
    warning, sentence = ended.stderr.splitlines()
    assert "every user of this machine can read the password in --cluster: put it into WSPULSE_CLUSTER" in warning
    assert sentence == "wspulse: --cluster needs the package nats-py; install it: pip install 'wspulse[cluster]'"


def command_lines(server: ServerProcess) -> list[str]:
    return [" ".join(psutil.Process(pid).cmdline()) for pid in server.pids()]


def dead_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def old_nats() -> Iterator[str]:
    """What a server of an older version says of itself to everybody who comes."""
    info = {"server_id": "old", "version": "2.9.10", "max_payload": 1048576, "headers": True, "proto": 1}
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(f"INFO {json.dumps(info)}\r\n".encode())
                    while data := connection.recv(4096):
                        connection.sendall(b"PONG\r\n" * data.count(b"PING"))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"nats://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
