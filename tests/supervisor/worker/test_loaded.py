"""What a worker's process loads: nothing that only several hosts need."""

from __future__ import annotations

import subprocess
import sys


def test_server_on_one_host_loads_nothing_that_joins_hosts() -> None:
    code = "import sys, wspulse.supervisor.worker.main; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules = set(loaded.stdout.splitlines())
    assert "wspulse.actors.runtime.runtime" in modules
    halves = {"wspulse.actors.cluster", "wspulse.actors.bus.cluster.bus", "wspulse.supervisor.cluster", "nats"}
    assert modules & halves == set()
