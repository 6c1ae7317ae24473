"""`TlsService`: TLS as a part of the server: the way from terminators to workers, the terminators, and what they show.

Made by the supervisor. The terminators outlive every reload: they are started once, and told what the certificate's files say
when those are read again. One that is started again is told what the files said when they were good. Without `--tls-cert` there
are none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Final

from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.listen_socket import open_mailbox_listener
from wspulse.supervisor.process.companions.companion import Companion
from wspulse.supervisor.process.companions.presence import Presence
from wspulse.supervisor.process.companions.process import CompanionProcess
from wspulse.supervisor.process.companions.watch import CompanionWatch
from wspulse.supervisor.settings.layers import Settings
from wspulse.supervisor.tls.certificates.certificate import Certificate, ExpiredError
from wspulse.supervisor.tls.certificates.pem import Pem
from wspulse.supervisor.tls.channel import Channel
from wspulse.supervisor.tls.main import main
from wspulse.supervisor.tls.orders import END, show_order
from wspulse.supervisor.tls.spec import TerminatorSpec

__all__ = ["NO_TERMINATOR", "TlsService"]

NO_TERMINATOR: Final = "no TLS terminator is running"

STOP_S = 2.0
"""For clients to take the last words of their workers, which have ended by then."""

HANDSHAKE_S: Final = 10.0
"""The server's own default, where no setting says how long a handshake may take."""

LOOK_S: Final = 1.0
"""Between two signs of life, and two looks for them; shorter where the stall timeout is."""

_MALLOC_BYTES = str(16 * 1024 * 1024)
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": _MALLOC_BYTES, "MALLOC_TRIM_THRESHOLD_": _MALLOC_BYTES}
"""uvloop's TLS reads into 256 KiB, which malloc would map anew each time, or ask the kernel for and give back: 35 µs
instead of 20 for an echo."""

_logger = logging.getLogger("wspulse.supervisor")


class TlsService:
    """See the module."""

    def __init__(self, settings: Settings, presence: Presence) -> None:
        self._settings = settings
        self._presence = presence
        self._certificate: Certificate | None = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._certificate = Certificate(settings.tls_cert, settings.tls_key)
        self._pem: Pem | None = None
        self._way: socket.socket | None = None
        self._path = ""
        self._listeners: Sequence[socket.socket] = ()
        self._companions: list[Companion] = []
        self._running: dict[int, _Terminator] = {}
        """By number, those that were started last."""
        self._period_s = min(LOOK_S, settings.stall_timeout / 4)
        self._looks: asyncio.TimerHandle | None = None

    @property
    def is_wanted(self) -> bool:
        return self._certificate is not None

    def check(self) -> None:
        """Read the certificate. Raises StartError for one that cannot be used."""
        if self._certificate is None:
            return
        pem = self._certificate.read()
        try:
            until = self._certificate.valid_until(pem)
        except ExpiredError as error:
            if pem != self._pem:
                raise
            # To refuse a reload of the application helps nobody.
            _logger.warning(
                "the certificate has not changed and stays in use",
                extra={"reason": str(error).removeprefix("wspulse: ")},
            )
            return
        _logger.info("the certificate is good", extra={"valid_until": until.isoformat()})
        self._pem = pem

    def open_way(self, path: str) -> socket.socket:
        """The Unix socket from which workers are to accept what terminators pass on. Raises StartError."""
        try:
            self._way, self._path = open_mailbox_listener(path), path
        except OSError as error:
            raise StartError(f"the socket between TLS and the workers cannot be opened: {error.strerror}") from None
        return self._way

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Start the terminators, which accept from `listeners`."""
        if self._certificate is None:
            return
        self._listeners = listeners
        self._presence.want(self._settings.tls_terminators)
        for number in range(self._settings.tls_terminators):
            launch = partial(self._launch, number)
            self._companions.append(Companion(f"tls {number}", launch, self._presence.failed))
            self._companions[-1].start()
        self._look()

    def reread(self) -> None:
        """Have the terminators show what the certificate's files say now. Raises StartError, and then all stays as it was."""
        former = self._pem
        self.check()
        if self._pem is not None and self._pem != former:
            for terminator in self._running.values():
                terminator.channel.tell(show_order(self._pem))

    def end(self) -> None:
        """Accept nobody else; who is connected stays until the workers let go."""
        self._presence.end()
        for companion in self._companions:
            companion.end()

    async def stop(self) -> None:
        """The workers have ended."""
        if self._looks is not None:
            self._looks.cancel()
        await asyncio.gather(*(companion.stop(STOP_S) for companion in self._companions))
        for terminator in self._running.values():
            terminator.channel.close()
        if self._way is not None:
            self._way.close()

    def _look(self) -> None:
        self._looks = asyncio.get_running_loop().call_later(self._period_s, self._look)
        now = monotonic()
        for terminator in list(self._running.values()):
            if terminator.is_running and terminator.watch.look(now):
                terminator.kill()

    def _launch(self, number: int, on_exit: Callable[[int], None]) -> _Terminator:
        ours, theirs = socket.socketpair()
        channel = Channel(ours, lambda _said: self._running[number].watch.heard(monotonic()))

        def ended(code: int) -> None:
            channel.close()
            self._presence.down(number)
            on_exit(code)

        assert self._pem is not None
        settings = self._settings
        with theirs, _environment():
            spec = TerminatorSpec(
                number,
                self._listeners,
                self._path,
                theirs,
                self._pem,
                float(settings.overrides.get("handshake_timeout", HANDSHAKE_S)),
                self._period_s,
                settings.log_level,
                settings.log_format,
            )
            try:
                process = CompanionProcess(f"tls {number}", main, (spec,), ended)
            except BaseException:
                channel.close()
                raise
        watch = CompanionWatch(
            f"tls {number}",
            "TLS terminator",
            number,
            process.pid,
            self._presence,
            settings.stall_timeout,
            process.started_at,
        )
        self._running[number] = terminator = _Terminator(process, channel, watch)
        return terminator


class _Terminator:
    """One that was started. It is told to end over its channel: SIGTERM may come from anybody, to all processes of a server."""

    def __init__(self, process: CompanionProcess, channel: Channel, watch: CompanionWatch) -> None:
        self._process = process
        self.channel = channel
        self.watch = watch
        self.started_at = process.started_at
        self.kill = process.kill

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    def terminate(self) -> None:
        self.channel.tell(END)


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
