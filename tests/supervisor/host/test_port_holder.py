"""Who has a port, as a real listener's process shows it, and as a made-up /proc does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from wspulse.supervisor.host.port_holder import port_holder


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_listener_of_a_process_is_found_with_its_pid(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        holder = port_holder(port)
        with socket.create_connection((address, port)) as client:
            assert port_holder(client.getsockname()[1]) is None, "it is connected, and does not listen"
    assert holder is not None
    assert holder.endswith(f" (pid {os.getpid()})")
    assert port_holder(port) is None


def test_listener_of_somebody_else_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "proc" / "net").mkdir(parents=True)
    line = "  0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 0 100 0 0 10 0\n"
    (tmp_path / "proc" / "net" / "tcp").write_text("the columns\n" + line)
    assert port_holder(8000, tmp_path) is None
    (tmp_path / "proc" / "11").mkdir()  # it has just ended
    (tmp_path / "proc" / "12" / "fd").mkdir(parents=True)
    (tmp_path / "proc" / "12" / "comm").write_text("nginx\n")
    (tmp_path / "proc" / "12" / "fd" / "3").symlink_to("socket:[4711]")
    assert port_holder(8000, tmp_path) == "nginx (pid 12)"
    assert port_holder(8001, tmp_path) is None
