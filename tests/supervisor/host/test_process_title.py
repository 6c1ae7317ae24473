"""What `ps` shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wspulse.supervisor.host.process_title import set_process_title

PROGRAM = """
import psutil
from wspulse.supervisor.host.process_title import set_process_title
set_process_title("worker 3")
print(psutil.Process().cmdline()[0].rstrip("\\0 "))
"""


def test_process_is_named_by_its_role() -> None:
    pytest.importorskip("setproctitle")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "wspulse: worker 3\n"


def test_nothing_happens_without_setproctitle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    assert not set_process_title("worker 3")
