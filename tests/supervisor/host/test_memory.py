"""How much memory a process holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from wspulse.supervisor.host.memory import resident_bytes

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")


@needs_proc
def test_resident_set_is_what_the_system_says() -> None:
    told = resident_bytes(os.getpid())
    assert told is not None
    assert told == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


def test_process_that_is_gone_has_none() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert resident_bytes(gone.pid) is None


@needs_proc
def test_process_that_was_not_waited_for_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert resident_bytes(ended.pid) == 0
