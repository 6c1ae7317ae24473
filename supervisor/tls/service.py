"""`TlsService`: TLS as a part of the server: the way from terminators to workers, and the terminators.

Made by the supervisor. The terminators outlive every reload: they are started once, and read their certificate again when they
are told to. Without `--tls-cert` there are none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.listen_socket import open_mailbox_listener
from wspulse.supervisor.process.companions.companion import Companion
from wspulse.supervisor.process.companions.process import CompanionProcess
from wspulse.supervisor.settings.layers import Settings
from wspulse.supervisor.tls.certificate import Certificate
from wspulse.supervisor.tls.main import main
from wspulse.supervisor.tls.spec import REREAD, TerminatorSpec

__all__ = ["TlsService"]

STOP_S = 2.0
"""For clients to take the last words of their workers, which have ended by then."""

_MALLOC_BYTES = str(16 * 1024 * 1024)
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": _MALLOC_BYTES, "MALLOC_TRIM_THRESHOLD_": _MALLOC_BYTES}
"""uvloop's TLS reads into 256 KiB, which malloc would map anew each time, or ask the kernel for and give back: 35 µs
instead of 20 for an echo."""

_logger = logging.getLogger("wspulse.supervisor")


class TlsService:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._certificate: Certificate | None = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._certificate = Certificate(settings.tls_cert, settings.tls_key)
        self._way: socket.socket | None = None
        self._path = ""
        self._listeners: Sequence[socket.socket] = ()
        self._companions: list[Companion] = []
        self._channels: dict[int, socket.socket] = {}

    @property
    def is_wanted(self) -> bool:
        return self._certificate is not None

    def check(self) -> None:
        """Raises StartError for a certificate that cannot be used."""
        if self._certificate is not None:
            until = self._certificate.valid_until(self._certificate.context())
            _logger.info("the certificate is good", extra={"valid_until": until.isoformat()})

    def open_way(self, path: str) -> socket.socket:
        """The Unix socket from which workers are to accept what terminators pass on. Raises StartError."""
        try:
            self._way, self._path = open_mailbox_listener(path), path
        except OSError as error:
            raise StartError(f"the way from TLS to the workers cannot be opened: {error.strerror}") from None
        return self._way

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Start the terminators, which accept from `listeners`."""
        if self._certificate is None:
            return
        self._listeners = listeners
        for number in range(self._settings.tls_terminators):
            self._companions.append(Companion(f"tls {number}", self._launcher(number)))
            self._companions[-1].start()

    def reread(self) -> None:
        """Have the terminators show what the certificate's files say now. Raises StartError, and then all stays as it was."""
        if self._certificate is None:
            return
        self.check()
        for channel in self._channels.values():
            with suppress(OSError):
                channel.send(REREAD)

    def end(self) -> None:
        """Accept nobody else; who is connected stays until the workers let go."""
        for companion in self._companions:
            companion.end()

    async def stop(self) -> None:
        """The workers have ended."""
        await asyncio.gather(*(companion.stop(STOP_S) for companion in self._companions))
        for channel in self._channels.values():
            channel.close()
        if self._way is not None:
            self._way.close()

    def _launcher(self, number: int) -> Callable[[Callable[[int], None]], CompanionProcess]:
        assert self._certificate is not None
        settings, certificate = self._settings, self._certificate

        def launch(on_exit: Callable[[int], None]) -> CompanionProcess:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            with theirs, _environment():
                spec = TerminatorSpec(
                    number,
                    self._listeners,
                    self._path,
                    theirs,
                    certificate,
                    settings.log_level,
                    settings.log_format,
                )
                try:
                    process = CompanionProcess(f"tls {number}", main, (spec,), on_exit)
                except BaseException:
                    ours.close()
                    raise
            former = self._channels.pop(number, None)
            if former is not None:
                former.close()
            self._channels[number] = ours
            return process

        return launch


@contextmanager
def _environment() -> Iterator[None]:
    """For the process that is started meanwhile."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
