"""`AdminService`: the admin address as a part of the server: its socket, and the process that serves it, started again when it
dies.

Created by the supervisor, which starts it before the workers and stops it after them, so that it can be asked all the while. The
process may die as often as it likes: no client of the server notices, and whoever looks finds it again after the backoff. What is
served there the supervisor never sees.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Protocol

from wspulse.supervisor.admin.main import main
from wspulse.supervisor.admin.spec import AdminSpec
from wspulse.supervisor.admin.token_file import TokenFile
from wspulse.supervisor.control.plane import ControlPlane
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.listen_socket import AddressTakenError, address_text, open_listener
from wspulse.supervisor.process.companions.companion import Companion, Launched
from wspulse.supervisor.process.companions.process import CompanionProcess
from wspulse.supervisor.settings.admin_address import split_admin
from wspulse.supervisor.settings.layers import Settings

__all__ = ["AdminService"]

TAKEN_S = 2.0
"""The process of a server that was killed notices at once, and then ends; on a busy machine that takes a while."""

TAKEN_PERIOD_S = 0.05

STOP_S = 1.0
"""For its last answers. Then it is killed."""

NEEDED = ("prometheus_client", "uvicorn", "httptools")

_logger = logging.getLogger("wspulse.supervisor")


class Steered(Protocol):
    """What is needed of the supervisor, once its control plane is started."""

    @property
    def control(self) -> ControlPlane: ...


def _launched(spec: AdminSpec, on_exit: Callable[[int], None]) -> CompanionProcess:
    return CompanionProcess("admin", main, (spec,), on_exit)


class AdminService:
    """See the module. Without `--admin` it does nothing."""

    def __init__(
        self,
        settings: Settings,
        steered: Steered,
        launch: Callable[[AdminSpec, Callable[[int], None]], Launched] = _launched,
    ) -> None:
        self.port = 0
        """From the start on."""
        self._settings = settings
        self._steered = steered
        self._launch = launch
        self._listener: socket.socket | None = None
        self._companion: Companion | None = None

    async def start(self) -> None:
        """Take the address, and start the process. Raises StartError."""
        settings = self._settings
        if settings.admin is None:
            return
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            raise StartError(f"--admin needs {', '.join(missing)}; install: pip install 'wspulse[admin]'")
        token = None if settings.admin_token_file is None else TokenFile(settings.admin_token_file)
        self._listener = listener = await _claim(settings.admin, yields=settings.yields("admin"))
        host, self.port, *_ = listener.getsockname()
        control = self._steered.control.own_address()
        spec = AdminSpec(listener, control, token, settings.log_level, settings.log_format)
        self._companion = Companion("admin", partial(self._launch, spec))
        self._companion.start()
        _logger.info("the admin address is open", extra={"url": f"http://{address_text(host, self.port)}/"})

    async def stop(self) -> None:
        """End the process, and give the address back."""
        if self._listener is not None:
            self._listener.close()
        if self._companion is not None:
            await self._companion.stop(STOP_S)


async def _claim(address: str, *, yields: bool) -> socket.socket:
    """`yields`: take any port where another server has this one. Raises StartError."""
    host, port = split_admin(address)
    deadline = time.monotonic() + TAKEN_S
    while True:
        try:
            return open_listener(host, port)
        except AddressTakenError as error:
            if yields:
                _logger.warning("another program has the admin address; a free port is used", extra={"taken": address})
                return open_listener(host, 0)
            if time.monotonic() >= deadline:
                raise _problem(error) from None
        except StartError as error:
            raise _problem(error) from None
        await asyncio.sleep(TAKEN_PERIOD_S)


def _problem(error: StartError) -> StartError:
    """The same of another setting."""
    text = str(error).removeprefix("wspulse: ").replace("give --host a", "give a")
    return StartError(f"--admin: {text.replace('--host', 'address').replace('--port', 'port')}")
