"""`--drain-delay`: a server that is told to end says so first, and serves on; then it ends as any other."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.processes.server_process import ServerProcess, serve_process, wait_until
from wspulse import Control


def health(server: ServerProcess) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def ask(client: ClientConnection) -> None:
    client.send('{"event":"say"}')
    assert client.recv(10) == '{"event":"say"}'


def drains(server: ServerProcess) -> None:
    """All workers say so."""
    wait_until(
        lambda: [health(server) for _ in range(20)] == [(503, "draining")] * 20, 10, "the server says that it drains"
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_server_that_is_told_to_end_serves_on_until_the_delay_is_over_or_a_second_signal_comes(workers: int) -> None:
    with serve_process("--app", "echo", "--drain-delay", "300", workers=workers) as server:
        assert health(server) == (200, "ok")
        with connect(server.url, proxy=None) as old:
            server.terminate()
            drains(server)
            with connect(server.url, proxy=None) as new:
                ask(old)
                ask(new)
                assert server.is_running()
                server.terminate()
                assert server.wait() == 128 + signal.SIGTERM
                server.wait_gone()


def test_shutdown_of_the_control_socket_waits_for_the_delay_too_and_then_closes_everybody_in_order() -> None:
    with serve_process("--app", "echo", "--drain-delay", "1", "--shutdown-timeout", "0.9", workers=2) as server:
        assert server.control is not None
        with connect(server.url, proxy=None) as client, Control(server.control) as control:
            began = time.monotonic()
            control.shutdown()
            drains(server)
            ask(client)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(10)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "server shutting down")
        assert server.wait() == 0
        assert time.monotonic() - began >= 1


def test_server_above_its_memory_lets_nobody_in_and_says_why() -> None:
    with serve_process("--app", "echo", "--max-memory", "1000000", workers=2) as server:
        wait_until(lambda: health(server) == (503, "memory use is above max_memory"), 10, "memory is short")
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}/ws")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert (refused.value.code, refused.value.headers["Retry-After"]) == (503, "1")
        refused.value.close()
        with Control(server.control) as control:
            stats = control.stats()
        assert stats.unwell == ["memory use is above max_memory"]
        assert stats.totals.limited_memory == stats.totals.refused_503 == 1
