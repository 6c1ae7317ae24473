"""A real server for tests: supervisor and workers as processes, started, watched and ended with deadlines.

    with serve_process("--app", "echo", workers=2) as server:
        ... server.url ...

Leaving the block ends the server and fails when a process of it is left. `run_to_end` is for servers that are meant to
end by themselves, as after a wrong option.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil

__all__ = ["Finished", "ServerProcess", "run_to_end", "serve_process", "start_process", "wait_until"]

_UVICORN_READY = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")

READY_LINE = re.compile(
    r"wspulse: ready on (?P<url>(?:wss?://|unix:)\S+) \((?P<workers>\d+) workers?"
    r"(?:, also on [^ ,]+)*(?:, control (?P<control>\S+))?\)"
)

START_DEADLINE_S = 30.0
"""Four interpreters on a loaded machine of two cores."""

STOP_DEADLINE_S = 15.0
"""Above the default of --shutdown-timeout."""

ORPHAN_DEADLINE_S = 6.0
"""contract §6 promises 5 s after the supervisor's death."""


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until `condition()` is true, and return its value. AssertionError saying `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:g} s still not true: {what}")
        time.sleep(0.01)
    return value


class Finished(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class ServerProcess:
    """A running server. Made by `serve_process`."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.pid = process.pid
        self.url = ""
        self.port = 0
        self.control: str | None = None

    def await_ready(self) -> None:
        """Wait until the ready line is out; from then on `url`, `port` and `control` are known."""

        def ready() -> re.Match[str] | None:
            code = self._process.poll()
            assert code is None, f"the server ended with code {code} before it was ready:\n{self.stderr()}"
            return READY_LINE.search(self.stdout())

        try:
            match = wait_until(ready, START_DEADLINE_S, "the server is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\nIts log:\n{self.stderr()}") from None
        self.url, self.control = match["url"], match["control"]
        self.port = urlsplit(self.url).port or 0

    def stdout(self) -> str:
        return (self._folder / "stdout").read_text()

    def stderr(self) -> str:
        return (self._folder / "stderr").read_text()

    def worker_pids(self) -> dict[int, int]:
        """Shard → pid of the workers that run now (known by their process titles)."""
        found = {}
        try:
            children = psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return {}
        for child in children:
            try:
                title = re.fullmatch(r"wspulse: worker (\d+)\s*", " ".join(child.cmdline()).rstrip("\0"))
            except psutil.Error:
                continue
            if title:
                found[int(title[1])] = child.pid
        return found

    def pids(self) -> set[int]:
        """Every process of the server that runs, orphans included: all of them share the supervisor's session."""
        return {pid for pid in psutil.pids() if _session(pid) == self.pid and _is_running(pid)}

    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor; nothing happens when it has ended."""
        self._process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM to the supervisor."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the supervisor only; its workers are left to notice, and its runtime directory to the next start on
        its port: a test that kills makes one."""
        self.signal(signal.SIGKILL)

    def wait(self, timeout: float = STOP_DEADLINE_S) -> int:
        """The supervisor's exit code. subprocess.TimeoutExpired when it still runs after `timeout` seconds."""
        return self._process.wait(timeout)

    def wait_gone(self, timeout: float = ORPHAN_DEADLINE_S) -> None:
        """Wait until no process of the server is left."""
        self.wait(timeout)
        wait_until(lambda: not self.pids(), timeout, f"no process of server {self.pid} is left")


@contextmanager
def serve_process(
    *args: str, workers: int = 2, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
) -> Iterator[ServerProcess]:
    """A server on a free port of 127.0.0.1, ready when the block begins.

    `args` come after `--port 0 --workers N`, so that they win. The environment is this process's without its WSPULSE_*
    variables, plus `env`. Without `cwd` it runs in a fresh, empty folder.
    """
    with start_process("--port", "0", "--workers", str(workers), *args, env=env, cwd=cwd) as server:
        server.await_ready()
        yield server


@contextmanager
def serve_uvicorn(
    app: str, *args: str, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
) -> Iterator[ServerProcess]:
    """uvicorn with an ASGI application on a free port of 127.0.0.1, ready when the block begins; `url` ends in /ws."""
    with start_process(app, "--port", "0", *args, env=env, cwd=cwd, program=("-m", "uvicorn")) as server:

        def ready() -> re.Match[str] | None:
            assert server.is_running(), f"uvicorn ended before it was ready:\n{server.stderr()}"
            return _UVICORN_READY.search(server.stderr())

        match = wait_until(ready, START_DEADLINE_S, "uvicorn is ready")
        server.port = int(match[1])
        server.url = f"ws://127.0.0.1:{server.port}/ws"
        yield server


def run_to_end(
    *args: str, env: Mapping[str, str] | None = None, cwd: str | Path | None = None, timeout: float = START_DEADLINE_S
) -> Finished:
    """Run `python -m wspulse.supervisor` with exactly these arguments until it ends by itself."""
    with start_process(*args, env=env, cwd=cwd) as server:
        code = server.wait(timeout)
        return Finished(code, server.stdout(), server.stderr())


@contextmanager
def start_process(
    *args: str,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    program: Sequence[str] = ("-m", "wspulse.supervisor"),
) -> Iterator[ServerProcess]:
    """`serve_process` with exactly these arguments, and without waiting until it is ready."""
    folder = Path(tempfile.mkdtemp(prefix="wspulse-test-"))
    (folder / "empty").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WSPULSE_")}
    environment |= env or {}
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *program, *args],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd=cwd or folder / "empty",
            start_new_session=True,
        )
    server = ServerProcess(process, folder)
    try:
        yield server
    finally:
        try:
            _end(server)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _end(server: ServerProcess) -> None:
    hung = False
    if server.is_running():
        server.terminate()
        try:
            server.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            hung = True
            server.kill()
            server.wait()
    log = server.stderr()
    try:
        wait_until(lambda: not server.pids(), ORPHAN_DEADLINE_S, "no process of the server is left")
    except AssertionError as error:
        left = {pid: _title(pid) for pid in server.pids()}
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)  # its session is ours: we started it
            except ProcessLookupError:
                pass
        raise AssertionError(f"{error}: {left}\nThe log:\n{log}") from None
    assert not hung, f"the server did not end {STOP_DEADLINE_S:g} s after SIGTERM. Its log:\n{log}"


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _title(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return "gone"
