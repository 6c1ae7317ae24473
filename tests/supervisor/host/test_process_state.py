"""What a process is seen to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.processes.server_process import wait_until
from wspulse.supervisor.host.process_state import process_state


def test_process_that_waits_is_stopped_and_is_gone_is_told_apart() -> None:
    assert process_state(os.getpid()) == "running"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: process_state(child.pid) == "waiting", 10, "it waits")
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(lambda: process_state(child.pid) == "stopped", 10, "it is stopped")
    finally:
        child.kill()
        child.communicate()
    assert process_state(child.pid) == "unknown"
