"""Where a control client looks for its server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wspulse.supervisor.premises.runtime_dir import RuntimeDir
from wspulse.supervisor.protocol.address import events_endpoint, find_address


def test_endpoint_beats_port_beats_variables_beats_the_default(tmp_path: Path) -> None:
    fallback = f"ipc:///tmp/wspulse-{os.geteuid()}"
    environ = {"WSPULSE_CONTROL": "ipc:///run/x", "WSPULSE_PORT": "61234"}
    assert find_address("ipc:///a", environ=environ).endpoint == "ipc:///a"
    assert find_address(port=61999, environ=environ).endpoint == f"{fallback}/61999/control.sock"
    assert find_address(environ=environ).endpoint == "ipc:///run/x"
    assert find_address(environ={"WSPULSE_PORT": "61234"}).endpoint == f"{fallback}/61234/control.sock"
    named = find_address(port=61999, environ={"XDG_RUNTIME_DIR": str(tmp_path)}).endpoint
    assert named == f"ipc://{tmp_path}/wspulse/61999/control.sock"
    with pytest.raises(ValueError, match="not both"):
        find_address("ipc:///a", port=1)
    with pytest.raises(ValueError, match="together"):
        find_address("ipc:///a", server_key="x")


def test_event_socket_on_all_addresses_is_reached_where_the_control_socket_is() -> None:
    assert events_endpoint("tcp://0.0.0.0:5556", "tcp://far:5555") == "tcp://far:5556"
    assert events_endpoint("ipc:///a.events", "ipc:///a") == "ipc:///a.events"


def test_port_finds_a_server_whose_control_socket_is_elsewhere(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)
    claimed = RuntimeDir.claim(61998, environ)
    claimed.tell("ipc:///elsewhere/c.sock", [])
    assert find_address(port=61998, environ=environ).endpoint == "ipc:///elsewhere/c.sock"
    os.close(claimed._lock)  # it crashes
    assert find_address(port=61998, environ=environ).endpoint == f"ipc://{tmp_path}/wspulse/61998/control.sock"
