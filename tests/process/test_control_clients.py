"""`Control` and `AsyncControl` where things go wrong: threads, forks, servers that come and go, keys that are not known."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import zmq
from websockets.sync.client import connect

from tests.support.processes.server_process import ServerProcess, run_to_end, serve_process, wait_until
from wspulse import AsyncControl, Control, ControlError, Frame
from wspulse.supervisor.protocol.curve import write_pair


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serve_process("--app", "relay", workers=2) as server:
        yield server


def error_code(call: object, *args: object) -> str:
    assert callable(call)
    with pytest.raises(ControlError) as refused:
        call(*args)
    return refused.value.error_code


def test_one_client_serves_many_threads(server: ServerProcess) -> None:
    with (
        Control(server.control) as control,
        connect(f"{server.url}?id=alice", max_size=None, max_queue=None) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        list(pool.map(lambda number: control.send("alice", Frame("n", number)), range(200)))
        numbers = [json.loads(client.recv(timeout=5))["payload"] for _ in range(200)]
        assert sorted(numbers) == list(range(200))


def test_client_made_before_a_fork_works_in_the_child_and_in_the_parent(server: ServerProcess) -> None:
    with Control(server.control) as control:
        control.ping()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if control.ping().workers == 2 and control.rooms() == [] else 2
            finally:
                os._exit(code)
        assert control.ping().workers == 2
        assert os.waitpid(child, 0)[1] == 0
        assert control.ping().workers == 2


def test_raw_payload_goes_byte_for_byte(server: ServerProcess) -> None:
    with Control(server.control) as control, connect(f"{server.url}?id=bob") as client:
        control.send("bob", Frame("raw", msgspec.Raw(b'{"a" : 1.50}')))
        assert client.recv(timeout=5) == '{"event":"raw","payload":{"a" : 1.50}}'


def test_wrong_frames_are_refused_before_they_are_sent(server: ServerProcess) -> None:
    with Control(server.control) as control:
        with pytest.raises(ValueError, match="'text'"):
            control.send("bob", {"text": "hi"})
        with pytest.raises(TypeError):
            control.send("bob", "hi")  # type: ignore[arg-type]
        assert error_code(control.kick, "nobody") == "connection_not_found"


def test_request_to_a_server_that_is_away_fails_and_is_never_carried_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    endpoint = f"ipc://{tmp_path}/control.sock"
    with Control(endpoint, timeout=0.3) as control:
        begin = time.monotonic()
        assert error_code(control.shutdown) == "unavailable"
        assert time.monotonic() - begin < 2
        with serve_process("--control", endpoint, workers=1) as server:
            assert control.ping().workers == 1
            assert control.connections() == [], "a shutdown that had been kept for it would have come before"
            assert server.is_running()


async def test_async_request_to_a_server_that_is_away_is_never_carried_out(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/control.sock"
    async with AsyncControl(endpoint, timeout=0.3) as control:
        with pytest.raises(ControlError):
            await control.shutdown()
        with serve_process("--control", endpoint, workers=1) as server:
            assert (await control.ping()).workers == 1
            assert await control.connections() == [], "a shutdown that had been kept for it would have come before"
            assert server.is_running()


def test_end_of_the_server_is_seen_at_once_and_its_successor_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    endpoint = f"ipc://{tmp_path}/control.sock"
    with Control(endpoint, timeout=20) as control:
        with serve_process("--app", "relay", "--control", endpoint, workers=1) as server:
            control.ping()
            os.kill(server.worker_pids()[0], signal.SIGSTOP)
            killer = threading.Timer(0.3, server.kill)
            killer.start()
            begin = time.monotonic()
            # The worker is stuck, so the request is under way when the supervisor ends.
            assert error_code(control.connections) == "unavailable"
            assert time.monotonic() - begin < 3
            killer.join()
            for pid in server.pids():
                os.kill(pid, signal.SIGKILL)
        successor = ("--app", "relay", "--control", endpoint, "--port", str(server.port))
        with serve_process(*successor, workers=1):
            assert control.ping().workers == 1


# Where the socket is.


def test_second_server_does_not_take_the_control_socket_of_the_first(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    endpoint = f"ipc://{tmp_path}/control.sock"
    with serve_process("--control", endpoint, workers=1) as first:
        second = run_to_end("--control", endpoint, "--port", "0", "--workers", "1")
        assert second.returncode == 1
        assert "another wspulse server has its control socket" in second.stderr
        with Control(first.control) as control:
            assert control.stats().pid == first.pid
    assert list(tmp_path.iterdir()) == [], "nothing is left"


def test_server_on_any_port_beside_one_of_the_same_file_has_addresses_of_its_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with socket.create_server(("127.0.0.1", 0)) as free:
        admin = free.getsockname()[1]
    file = tmp_path / "wspulse.toml"
    file.write_text(f'control = "ipc://{tmp_path}/control.sock"\nadmin = "127.0.0.1:{admin}"\n')
    with (
        serve_process("--config", str(file), workers=1) as first,
        serve_process("--config", str(file), workers=1) as second,
    ):
        assert first.control == f"ipc://{tmp_path}/control.sock"
        assert second.control not in (None, first.control)
        assert "another server has the control address; this one uses its own" in second.stderr()
        assert "another program has the admin address; a free port is used" in second.stderr()
        for server in (first, second):
            with Control(port=server.port) as control:
                assert control.stats().pid == server.pid


def test_folder_of_the_control_socket_must_be_ours_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    refused = run_to_end("--control", f"ipc://{tmp_path}/control.sock", "--port", "0", "--workers", "1")
    assert refused.returncode == 2
    assert "other users can write to its folder" in refused.stderr
    missing = run_to_end("--control", f"ipc://{tmp_path}/none/control.sock", "--port", "0", "--workers", "1")
    assert missing.returncode == 2


def test_control_socket_is_for_this_user_alone(server: ServerProcess) -> None:
    assert server.control is not None
    path = Path(server.control.removeprefix("ipc://"))
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


# CURVE.


def test_tcp_beyond_loopback_needs_keys() -> None:
    refused = run_to_end("--control", "tcp://0.0.0.0:*", "--port", "0", "--workers", "1")
    assert refused.returncode == 2
    assert "--control-server-key" in refused.stderr


def test_tcp_on_loopback_works_with_events() -> None:
    with (
        serve_process("--control", "tcp://127.0.0.1:0", workers=1) as server,
        Control(server.control) as control,
        control.events("connect.", timeout=5) as events,
    ):
        with connect(f"{server.url}?id=carol"):
            pass
        assert next(events).connection == "carol"


def test_only_clients_on_the_list_get_in(tmp_path: Path) -> None:
    write_pair(tmp_path, "server")
    (tmp_path / "clients").mkdir()
    write_pair(tmp_path / "clients", "friend")
    write_pair(tmp_path, "stranger")
    server_key = tmp_path / "server.key"
    options = ["--control-server-key", str(tmp_path / "server.key_secret")]
    options += ["--control-client-keys", str(tmp_path / "clients")]
    with serve_process("--control", "tcp://0.0.0.0:0", *options, workers=1) as server:
        assert server.control is not None
        endpoint = server.control.replace("0.0.0.0", "127.0.0.1")
        friend, stranger = tmp_path / "clients" / "friend.key_secret", tmp_path / "stranger.key_secret"
        with Control(endpoint, server_key=server_key, client_key=friend) as control:
            assert control.ping().workers == 1
            with control.events("connect.", timeout=5) as events:
                with connect(f"{server.url}?id=dave"):
                    pass
                assert next(events).connection == "dave"
        with (
            Control(endpoint, server_key=server_key, client_key=stranger, timeout=1) as control,
            pytest.raises(ControlError, match="does not accept this client's key"),
        ):
            control.ping()
        with Control(endpoint, timeout=0.5) as control:
            assert error_code(control.ping) == "unavailable"
        plain: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        eavesdropper = plain.socket(zmq.SUB)
        eavesdropper.setsockopt(zmq.SUBSCRIBE, b"")
        host, _, port = endpoint.rpartition(":")
        eavesdropper.connect(f"{host}:{port}")
        assert not eavesdropper.poll(500)
        plain.destroy(linger=0)
        wait_until(server.is_running, 1, "nothing of this harms it")
