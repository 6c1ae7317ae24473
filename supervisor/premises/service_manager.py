"""`ServiceManager`: what systemd, or whoever else started the server and set NOTIFY_SOCKET, is told of it (sd_notify(3)).

One per server, made by the supervisor, which says when the server is ready, reloads and ends; how many workers are ready it
asks by itself. Without NOTIFY_SOCKET it does nothing. It never waits for whoever listens, and a message that cannot be sent
changes nothing for the server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

__all__ = ["ServiceManager"]

LOOK_S = 1.0
"""Between two looks at how many workers are ready. Nothing is said when their number is what it was."""

MOST_WAITING = 16
"""Messages that the service manager has not taken: it is busy, as during its own reload, or stopped."""

_logger = logging.getLogger("wspulse.supervisor")


class ServiceManager:
    """See the module. `readiness()` is how many workers are ready, and the new number of workers. Its variables are taken out of
    `environ`: what a worker starts must not speak for the server."""

    def __init__(
        self, readiness: Callable[[], tuple[int, int]], environ: MutableMapping[str, str] = os.environ
    ) -> None:
        self._readiness = readiness
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        self._feed_s = _watchdog_s(environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")) / 2
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._status = ""
        self._where = ""
        """Not empty from `ready` until `stop`."""
        self._failure = ""
        """Of the last reload."""
        self._reloads = 0
        self._has_warned = False

    def start(self) -> None:
        """The workers are started from now on."""
        if not self._address:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._tick()
        if self._feed_s:
            self._feed()

    def ready(self, where: str) -> None:
        """All workers are ready, for the first time; `where` is the server's URL."""
        self._where = where
        self._tell("READY=1", f"MAINPID={os.getpid()}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """The time of one reload; several may be under way, of which the last says that the server is ready again."""
        self._reloads += 1
        self._failure = ""
        if self._where:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        except Exception as error:
            self._failure = " ".join(str(error).split())
            raise
        finally:
            self._reloads -= 1
            if self._where and not self._reloads:
                self._tell("READY=1")

    def stop(self) -> None:
        """The server ends."""
        for timer in self._timers.values():
            timer.cancel()
        if self._socket is not None:
            self._where = ""
            self._send("STOPPING=1\nSTATUS=stopping")
            self._socket.close()
            self._socket = None

    def _tick(self) -> None:
        self._later(LOOK_S, self._tick)
        self.look()

    def look(self) -> None:
        """Look now whether there is something to tell, or something left to send."""
        if self._status_text() != self._status:
            self._tell()
        self._flush()

    def _feed(self) -> None:
        """The watchdog. It ends a server that says nothing for twice as long."""
        is_served = self._readiness()[0] > 0
        self._later(self._feed_s if is_served else min(LOOK_S, self._feed_s / 4), self._feed)
        if is_served and not self._waiting:
            self._send("WATCHDOG=1")

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        self._timers[call] = asyncio.get_running_loop().call_later(delay_s, call)

    def _tell(self, *assignments: str) -> None:
        """These, and how the server is."""
        self._status = self._status_text()
        self._send("\n".join((*assignments, f"STATUS={self._status}")))

    def _status_text(self) -> str:
        ready, wanted = self._readiness()
        workers = f"{ready} of {wanted} workers ready"
        if not self._where:
            return f"starting, {workers}"
        if self._reloads:
            return f"reloading, {workers}"
        failure = f"; the last reload failed: {self._failure}" if self._failure else ""
        return f"{self._where}, {workers}{failure}"

    def _send(self, message: str) -> None:
        if self._socket is not None:
            self._waiting.append(message.encode(errors="replace"))
            self._flush()

    def _flush(self) -> None:
        while self._waiting and self._socket is not None:
            try:
                self._socket.sendto(self._waiting[0], self._address)
            except BlockingIOError:
                return  # at the next look
            except OSError as error:
                self._warn(error)
            self._waiting.popleft()

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "the service manager cannot be notified (NOTIFY_SOCKET)",
                extra={"reason": error.strerror or str(error)},
            )


def _address(named: str) -> str:
    """What the variable means: the path of a socket, or with @ a name without a file. Empty: nobody listens."""
    if named and (len(named) < 2 or named[0] not in "/@"):
        _logger.warning("NOTIFY_SOCKET is neither a path nor a name with @; it is not used", extra={"value": named})
        return ""
    return f"\0{named[1:]}" if named.startswith("@") else named


def _watchdog_s(named_us: str, pid: str) -> float:
    """After how long a silence the service manager ends the server; 0: never. It may be another process that is watched."""
    if not named_us or pid not in ("", str(os.getpid())):
        return 0.0
    if not named_us.isdecimal():
        _logger.warning("WATCHDOG_USEC is not a number; it is not used", extra={"value": named_us})
        return 0.0
    return int(named_us) / 1e6
