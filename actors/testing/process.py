"""`ServerProcess`: supervisor and workers as processes of their own, started for a test and ended with it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

__all__ = ["ServerProcess"]

_READY = re.compile(r"^wspulse: ready on ((?:wss?://|unix:)\S+) \(.*control (\S+)\)$", re.MULTILINE)

_START_DEADLINE_S = 30.0
"""Several interpreters that import an application, on a machine that is busy with other tests."""

_STOP_DEADLINE_S = 15.0
"""Above the supervisor's own --shutdown-timeout of 10 s."""

_POLL_S = 0.02

_LONGEST_FOLDER_BYTES = 47
"""Paths of Unix sockets have at most 103 bytes (on macOS), and the server's take up to 56 more than this."""


class ServerProcess:
    """See the module. Its output goes to files of a temporary folder, which is also its runtime directory."""

    def __init__(
        self, app: str, arguments: Sequence[str], env: Mapping[str, str | None], cwd: str | Path | None
    ) -> None:
        self._arguments = ["--app", app, "--port", "0", *arguments]
        self._env = env
        self._cwd = cwd
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._last_log = ""
        self.control = ""
        """The control endpoint, once it has started."""

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> str:
        """Its URL, once all workers are ready. Raises RuntimeError with its log when it does not get there."""
        folder, process = self._spawn()
        deadline = monotonic() + _START_DEADLINE_S
        while True:
            if ready := _READY.search((folder / "stdout").read_text()):
                self.control = ready[2]
                return ready[1]
            if (code := process.poll()) is not None:
                raise RuntimeError(f"wspulse: the server ended with code {code} before it was ready:\n{self.log()}")
            if monotonic() > deadline:
                raise RuntimeError(f"wspulse: the server was not ready after {_START_DEADLINE_S:g} s:\n{self.log()}")
            await asyncio.sleep(_POLL_S)

    def _spawn(self) -> tuple[Path, subprocess.Popen[bytes]]:
        folder = self._folder = Path(tempfile.mkdtemp(prefix="wspulse-", dir=_short_folder()))
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "wspulse.supervisor", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self._environment(folder),
                cwd=self._cwd,
                start_new_session=True,
            )
        return folder, process

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL to all of its processes when that does not end it."""
        process, folder = self._process, self._folder
        if process is not None:
            if process.poll() is None:
                process.terminate()
            deadline = monotonic() + _STOP_DEADLINE_S
            while process.poll() is None:
                if monotonic() > deadline:
                    # The session and its process group are ours: we made them.
                    with suppress(ProcessLookupError, PermissionError):  # it ends just now
                        os.killpg(process.pid, signal.SIGKILL)
                await asyncio.sleep(_POLL_S)
        self._last_log = self.log()
        self._folder = None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def log(self) -> str:
        """What it has written to stderr so far."""
        return self._last_log if self._folder is None else (self._folder / "stderr").read_text()

    def _environment(self, folder: Path) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WSPULSE_")}
        environment["XDG_RUNTIME_DIR"] = str(folder)
        # What the test run put on its path (pytest's `pythonpath`, a conftest's folder) is where the application is.
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(entry for entry in sys.path if entry))
        for name, value in self._env.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        return environment


def _short_folder() -> str | None:
    """Where temporary folders go, unless that is too deep for sockets, as on macOS."""
    deep = len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER_BYTES
    return "/tmp" if deep and Path("/tmp").is_dir() else None
