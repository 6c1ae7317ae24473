"""`Frontend`: all that clients connect to: what the server listens on, and the TLS terminators on its ports.

Made by the supervisor: opened before everything else, and closed to newcomers before the workers end. Without TLS the workers
accept from all of it; with TLS the terminators have the ports, and the workers the Unix sockets and the way from the
terminators.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from wspulse.actors.accept.listener import Introduction, Listener
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.premises.listeners.opening import Listeners, open_listeners
from wspulse.supervisor.premises.upkeep import KeptFiles
from wspulse.supervisor.process.companions.presence import Presence
from wspulse.supervisor.process.restart.failure import ReloadRefusedError
from wspulse.supervisor.settings.layers import Settings
from wspulse.supervisor.tls.service import NO_TERMINATOR, TlsService

__all__ = ["Frontend"]


class Frontend:
    """See the module. `kept` are the files that it needs; the functions are those of `Presence`."""

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str, bool], None],
        on_up: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._terminators = Presence(NO_TERMINATOR, tell, on_up, on_failed)
        self._tls = TlsService(settings, self._terminators)
        self._listeners: Listeners | None = None
        self._for_workers: list[Listener] = []
        self.kept: list[KeptFiles] = []

    async def open(self, is_over: Callable[[], bool]) -> bool:
        """False when the end comes first. Raises StartError."""
        self._tls.check()
        self._listeners = listeners = await open_listeners(self._settings, is_over)
        if listeners is None:
            return False
        self._check(listeners)
        self.kept.append(KeptFiles("Unix socket", listeners.paths, listeners.restore))
        how = Introduction.PROXY if self._settings.proxy_protocol else Introduction.NONE
        self._for_workers = [Listener(sock, how) for sock in listeners.sockets if not self._is_for_tls(sock)]
        return True

    def _check(self, listeners: Listeners) -> None:
        """What was opened suits what is to be done there. Raises StartError."""
        settings, problem = self._settings, None
        if self._tls.is_wanted and not listeners.hosts:
            problem = "--tls-cert: there is no TCP port to serve TLS on, and Unix sockets never use TLS; add a --host"
        elif (settings.proxy_headers or settings.proxy_protocol) and listeners.hosts and not settings.trusted_proxy:
            problem = "--trusted-proxy: no proxy is trusted on the TCP port; name the proxies"
        if problem is not None:
            listeners.close()
            raise StartError(problem)

    def start(self, way: str) -> list[Listener]:
        """Start the terminators, if there are to be any, with their way to the workers at that path. Returns what the workers
        accept from. Raises StartError."""
        ports = [sock for sock in self._opened.sockets if self._is_for_tls(sock)]
        if ports:
            self._for_workers.append(Listener(self._tls.open_way(way), Introduction.TERMINATOR))
            self.kept.append(KeptFiles("socket between TLS and the workers", [way], _tell_missing))
            self._tls.start(ports)
        return self._for_workers

    def reread(self) -> None:
        """Take what has changed without an end of any connection: certificates. Raises ReloadRefusedError."""
        try:
            self._tls.reread()
        except StartError as error:
            raise ReloadRefusedError(str(error).removeprefix("wspulse: ")) from None

    def close(self) -> None:
        """Let nobody else in; idempotent."""
        self._tls.end()
        if self._listeners is not None:
            self._listeners.close()

    async def stop(self) -> None:
        """The workers have ended, and with them all connections."""
        await self._tls.stop()

    @property
    def is_up(self) -> bool:
        """Whether clients find somebody."""
        return self._terminators.are_up

    @property
    def address(self) -> str:
        """Of the first port: an IP address, or "unix" where there is none."""
        return self._opened.address

    @property
    def port(self) -> int:
        return self._opened.port

    @property
    def urls(self) -> list[str]:
        """Where clients find the server."""
        return self._opened.urls(self._settings.path, scheme="wss" if self._tls.is_wanted else "ws")

    @property
    def _opened(self) -> Listeners:
        assert self._listeners is not None
        return self._listeners

    def _is_for_tls(self, sock: socket.socket) -> bool:
        return self._tls.is_wanted and sock.family != socket.AF_UNIX


def _tell_missing(_missing: object) -> None:
    raise StartError("the socket between TLS and the workers was removed; restart the server to create it again")
