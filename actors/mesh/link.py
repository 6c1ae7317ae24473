"""`ShardLink`: this process's way to one shard of another process, an `ActorRef` that survives the shard's restarts.

Created by a worker's runtime (one per other shard) and by the supervisor. It keeps one stream to the shard's mailbox. The
end of the stream fails every ask that was sent at once; asks and descriptors that were not yet taken go to the replacement
while their deadline allows. Whatever keeps it from connecting, it tries again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextvars import copy_context
from time import monotonic
from typing import Any

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.asks import Asks
from wspulse.actors.mesh.copies import Copies
from wspulse.actors.mesh.message import Envelope, Failure, Hello, Message, Reply, Tell, UpgradeRequest
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import ShardUnavailableError
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["MOST_WAITING_BYTES", "ShardLink"]

_RECONNECT_S = 0.02
"""The shard's mailbox listener outlives its worker, so a new stream only waits for the replacement to start."""

_LONG_S = 1.0
"""How long it may be impossible to connect before somebody should know."""

MOST_WAITING_BYTES = 160 * 1024 * 1024
"""Two of the largest frames, with what stands around them: what may wait for a shard that reads nothing."""

_logger = logging.getLogger("wspulse.link")


class ShardLink:
    """See the module. `up` and `down` are called with the incarnation when the shard appears and when it is gone."""

    def __init__(
        self,
        shard: int,
        path: str,
        *,
        up: Callable[[int], None] | None = None,
        down: Callable[[int], None] | None = None,
    ) -> None:
        self.shard = shard
        self.incarnation = 0
        """Of the shard that is connected now, 0 for none."""
        self.path = path
        self._up = up
        self._down = down
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """In which the loop calls us: that of a handler, which tells or asks, would be kept."""
        self._stream: Stream | None = None
        self._asks = Asks(shard)
        self._copies = Copies()
        self._reconnect: asyncio.TimerHandle | None = None
        self._failing_since: float | None = None
        self._told_failing = False
        self._closed = False
        self._log = LogLimit(burst=1)

    def open(self) -> None:
        """Connect, and stay connected."""
        self._reconnect = None
        if self._closed:
            return
        sock: socket.socket | None = None
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.connect(self.path)
            self._stream = Stream(sock, self._take, self._ended)
        except (OSError, MemoryError) as error:
            if sock is not None:
                sock.close()
            self._reconnect = self._loop.call_later(_RECONNECT_S, self.open, context=self._context)
            self._note_failure(error)
            return
        self._failing_since = None
        self._told_failing = False

    def close(self) -> None:
        """End the stream and fail what is pending."""
        self._closed = True
        if self._reconnect is not None:
            self._reconnect.cancel()
        if self._stream is not None:
            self._stream.close()
        self._asks.close("the server is closing")
        self._copies.close()

    def tell(self, message: Message) -> None:
        """Raises what the encoder raises. A shard that lets pile up what it is told is as good as gone: its stream ends."""
        stream = self._stream
        if not self.incarnation or stream is None:
            return
        if stream.waiting_bytes > MOST_WAITING_BYTES:
            not_logged = self._log.admit(monotonic())
            if not_logged is not None:
                extra = {"shard": self.shard, "not_logged": not_logged}
                _logger.warning(
                    "a shard does not read its messages; its stream is closed and opened again", extra=extra
                )
            # From the loop: `down` may be called, and who tells may be in the midst of something.
            self._loop.call_soon(stream.close, context=self._context)
            return
        stream.send(Tell(message))

    async def ask(self, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Raises ShardUnavailableError when the shard is down, reads nothing, or is silent until the deadline, else what the
        shard raised."""
        if self._closed:
            raise ShardUnavailableError("the server is closing")
        if self._stream is not None and self._stream.waiting_bytes > MOST_WAITING_BYTES:
            raise ShardUnavailableError(f"shard {self.shard} does not read its messages")
        return await self._asks.ask(message, timeout_s)

    def hand_over(self, upgrade: UpgradeRequest, fd: int, failed: Callable[[int], None]) -> None:
        """Send a descriptor, which is this link's from now on; `failed(fd)` gives it back when nobody took it in time."""
        if self._closed:
            failed(fd)
        else:
            self._copies.add(upgrade, fd, failed)

    def _take(self, envelope: Envelope, _fd: int | None) -> None:
        match envelope:
            case Reply():
                self._asks.answered(envelope.number, envelope.result)
            case Failure():
                self._asks.failed(envelope.number, envelope.code, envelope.subject)
            case Hello():
                stream = self._stream
                assert stream is not None
                self.incarnation = envelope.incarnation
                try:
                    if self._up is not None:
                        self._up(envelope.incarnation)
                finally:
                    self._copies.begin(stream, envelope.incarnation)
                    self._asks.begin(stream, envelope.incarnation)
            case _:
                pass

    def _ended(self) -> None:
        incarnation, self.incarnation = self.incarnation, 0
        self._stream = None
        if not self._closed:
            # Before anybody is told, who may raise.
            self._reconnect = self._loop.call_later(_RECONNECT_S, self.open, context=self._context)
        self._copies.end()
        self._asks.end(f"shard {self.shard} went down")
        if incarnation and self._down is not None:
            self._down(incarnation)

    def _note_failure(self, error: OSError | MemoryError) -> None:
        """Say it, once, when for a reason that passes by itself in a moment it has not."""
        if isinstance(error, (ConnectionRefusedError, BlockingIOError)):
            return  # nobody listens, or its queue is full: it is not for us to look into
        now = monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if self._told_failing or now - self._failing_since < _LONG_S:
            return
        self._told_failing = True
        not_logged = self._log.admit(now)
        if not_logged is not None:
            extra = {"shard": self.shard, "reason": str(error), "not_logged": not_logged}
            _logger.warning("another shard cannot be reached; trying again", extra=extra)
