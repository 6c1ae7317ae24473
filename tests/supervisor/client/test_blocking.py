"""`Control` when it is closed while other threads are in the middle of a call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import zmq

from tests.support.processes.server_process import wait_until
from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.blocking import Control

SILENT_FOR_S = 30.0


@pytest.fixture
def silent_server(tmp_path: Path) -> Iterator[tuple[str, zmq.Socket[bytes]]]:
    """It takes requests and answers none."""
    endpoint = f"ipc://{tmp_path}/control"
    with zmq.Context() as context:
        router = context.socket(zmq.ROUTER)
        router.bind(endpoint)
        try:
            yield endpoint, router
        finally:
            router.close(0)


@pytest.mark.race
def test_calls_of_other_threads_fail_when_it_is_closed(silent_server: tuple[str, zmq.Socket[bytes]]) -> None:
    endpoint, router = silent_server
    for _ in range(10):
        control = Control(endpoint, timeout=SILENT_FOR_S)
        told: list[str] = []

        def ask(control: Control = control, told: list[str] = told) -> None:
            try:
                control.ping()
            except ControlError as error:
                told.append(str(error))

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert router.poll(5000)
            router.recv_multipart()
        before = monotonic()
        control.close()
        for thread in threads:
            thread.join(5)
        assert told == ["wspulse: this control client is closed"] * 4
        assert monotonic() - before < 2


def test_call_to_a_server_that_is_away_fails_when_it_is_closed(tmp_path: Path) -> None:
    control = Control(f"ipc://{tmp_path}/nobody", timeout=SILENT_FOR_S)
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(ControlError) as raised:
            control.ping()
        told.append(str(raised.value))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    wait_until(lambda: control._pool and control._pool._users, 5, "it waits for a server")
    control.close()
    thread.join(5)
    assert told == ["wspulse: this control client is closed"]
    with pytest.raises(ControlError, match="is closed"):
        control.ping()
