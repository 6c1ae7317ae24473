"""examples/msgpack_client.py against the relay with two workers."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.examples.support import EXAMPLES
from wspulse import MsgpackCodec
from wspulse.testing import serve


def run_client(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "msgpack_client.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_viewer_gets_its_tiles_over_two_connections() -> None:
    arguments = ["--codec", "msgpack", "--resume-window", "30"]
    with serve("relay", workers=2, arguments=arguments, codec=MsgpackCodec()) as running:
        witness = running.connect(room="tiles")
        finished = run_client(running.url)
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout == "the viewer got 20 of 20 tiles\n"
        states = re.findall(r"the viewer is (\w+)", finished.stderr)
        assert states[:3] == ["connected", "reconnecting", "connected"]
        assert [frame.payload["number"] for frame in witness.received] == list(range(20))
        assert all(len(frame.payload["pixels"]) == 16 * 1024 for frame in witness.received)


def test_client_without_a_url_says_how_it_is_used() -> None:
    finished = run_client()
    assert finished.returncode == 1
    assert finished.stderr == "usage: python msgpack_client.py ws://HOST:PORT/ws\n"
