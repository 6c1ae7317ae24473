"""`AdminService`: the admin address as a part of the server: its socket, and the process that serves it, started again when it
dies.

Created by the supervisor, which starts it before the workers and stops it after them, so that it can be asked all the while. The
process may die as often as it likes: no client of the server notices, and whoever looks finds it again after the backoff. What is
served there the supervisor never sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

from wspulse.supervisor.admin.process import AdminProcess
from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.admin.token_file import TokenFile
from wspulse.supervisor.control.plane import ControlPlane
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.listen_socket import AddressTakenError, address_text, open_listener
from wspulse.supervisor.process.restart.backoff import Backoff
from wspulse.supervisor.process.watching.end_watch import exit_sentence
from wspulse.supervisor.settings.admin_address import split_admin
from wspulse.supervisor.settings.layers import Settings

__all__ = ["AdminService"]

TAKEN_S = 2.0
"""The process of a server that was killed notices at once, and then ends; on a busy machine that takes a while."""

TAKEN_PERIOD_S = 0.05

STOP_S = 1.0
"""For its last answers. Then it is killed."""

KILLED_S = 5.0
"""A killed process that is still there after this is stuck in the kernel, and not ours to wait for."""

NEEDED = ("prometheus_client", "uvicorn", "httptools")

_logger = logging.getLogger("wspulse.supervisor")


class _Running(Protocol):
    started_at: float

    @property
    def is_running(self) -> bool: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Steered(Protocol):
    """What is needed of the supervisor, once its control plane is started."""

    @property
    def control(self) -> ControlPlane: ...


class AdminService:
    """See the module. Without `--admin` it does nothing."""

    def __init__(
        self,
        settings: Settings,
        steered: Steered,
        launch: Callable[[AdminSpec, Callable[[int], None]], _Running] = AdminProcess,
    ) -> None:
        self.port = 0
        """From the start on."""
        self._settings = settings
        self._steered = steered
        self._launch = launch
        self._backoff = Backoff()
        self._listener: socket.socket | None = None
        self._process: _Running | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._is_stopping = False

    async def start(self) -> None:
        """Take the address, and start the process. Raises StartError."""
        settings = self._settings
        if settings.admin is None:
            return
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            raise StartError(f"--admin needs {', '.join(missing)}; install with: pip install 'wspulse[admin]'")
        token = None if settings.admin_token_file is None else TokenFile(settings.admin_token_file)
        self._listener = listener = await _claim(settings.admin)
        host, self.port, *_ = listener.getsockname()
        control = self._steered.control.own_address()
        self._spec = AdminSpec(listener, control, token, settings.log_level, settings.log_format)
        self._begin()
        _logger.info("the admin address is open", extra={"url": f"http://{address_text(host, self.port)}/"})

    async def stop(self) -> None:
        """End the process, and give the address back."""
        self._is_stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.close()
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._ended.wait()
            self._process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILLED_S):
                    await self._ended.wait()

    def _begin(self) -> None:
        self._timer = None
        self._ended.clear()
        try:
            self._process = self._launch(self._spec, self._on_exit)
        except OSError as error:
            self._process = None
            delay_s = self._wait(0.0)
            fields = {"reason": str(error), "restart_in_s": delay_s}
            _logger.warning("the process of the admin address could not be started", extra=fields)

    def _on_exit(self, code: int) -> None:
        process = self._process
        self._ended.set()
        if self._is_stopping or process is None:
            return
        self._process = None
        delay_s = self._wait(time.monotonic() - process.started_at)
        _logger.warning(
            "the process of the admin address died", extra={"end": exit_sentence(code), "restart_in_s": delay_s}
        )

    def _wait(self, ran_for_s: float) -> float:
        delay_s = self._backoff.failed(ran_for_s)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)
        return delay_s


async def _claim(address: str) -> socket.socket:
    """Raises StartError."""
    host, port = split_admin(address)
    deadline = time.monotonic() + TAKEN_S
    while True:
        try:
            return open_listener(host, port)
        except AddressTakenError as error:
            if time.monotonic() >= deadline:
                raise _problem(error) from None
        except StartError as error:
            raise _problem(error) from None
        await asyncio.sleep(TAKEN_PERIOD_S)


def _problem(error: StartError) -> StartError:
    """The same of another setting."""
    text = str(error).removeprefix("wspulse: ").replace("give --host a", "give a")
    return StartError(f"--admin: {text.replace('--host', 'address').replace('--port', 'port')}")
