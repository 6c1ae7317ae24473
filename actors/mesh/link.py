"""`ShardLink`: this process's way to one shard of another process, an `ActorRef` that survives the shard's restarts.

Created by a worker's runtime (one per other shard) and by the supervisor. It keeps one stream to the shard's mailbox. The
end of the stream fails every ask that was sent at once; asks and descriptors that were not yet taken go to the replacement
while their deadline allows.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.mailbox import HANDOVER_MARGIN_S
from wspulse.actors.mesh.message import (
    Ask,
    Envelope,
    Failure,
    Handover,
    Hello,
    Message,
    ReceiptsWanted,
    Reply,
    Tell,
    UpgradeRequest,
)
from wspulse.actors.mesh.receipts import Receipts
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import ShardUnavailableError, error_from_code

__all__ = ["ShardLink"]

_RECONNECT_S = 0.02
"""The shard's mailbox listener outlives its worker, so a new stream only waits for the replacement to start."""

_SWEEP_S = 0.05

_RECEIPTS_S = 0.005
"""How long our copy of a descriptor that was taken may stay open: until then a client whose connection is closed at once does
not see its end. Long enough that a burst of handovers costs one turn of the loop."""

_MOST_UNREAD = 256
"""Handovers after which receipts are read at once, lest a burst use up our descriptors."""


@dataclass(slots=True)
class _Asked:
    future: asyncio.Future[Any]
    deadline: float
    message: Message
    sent: bool


@dataclass(slots=True)
class _HandedOver:
    upgrade: UpgradeRequest
    fd: int
    failed: Callable[[int], None]


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
        self._path = path
        self._up = up
        self._down = down
        self._loop = asyncio.get_running_loop()
        self._stream: Stream | None = None
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._handed_over: dict[int, _HandedOver] = {}
        self._receipts: Receipts | None = None
        self._receipts_timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._reconnect: asyncio.TimerHandle | None = None
        self._closed = False

    def open(self) -> None:
        """Connect, and stay connected."""
        self._reconnect = None
        if self._closed:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            self._reconnect = self._loop.call_later(_RECONNECT_S, self.open)
            return
        self._stream = Stream(sock, self._take, self._ended)

    def close(self) -> None:
        """End the stream and fail what is pending."""
        self._closed = True
        if self._reconnect is not None:
            self._reconnect.cancel()
        if self._stream is not None:
            self._stream.close()
        self._fail_asks(lambda _asked: True, "the server is closing")
        for timer in (self._sweeper, self._receipts_timer):
            if timer is not None:
                timer.cancel()
        for handed_over in self._handed_over.values():
            handed_over.failed(handed_over.fd)
        self._handed_over.clear()

    def tell(self, message: Message) -> None:
        if self.incarnation and self._stream is not None:
            self._stream.send(Tell(message))

    async def ask(self, message: Message, *, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Raises ShardUnavailableError when the shard is down or silent until the deadline, else what the shard raised."""
        if self._closed:
            raise ShardUnavailableError("the server is closing")
        self._number += 1
        deadline = 0.0 if timeout_s is None else monotonic() + timeout_s
        asked = _Asked(self._loop.create_future(), deadline, message, False)
        self._asked[self._number] = asked
        self._send_ask(self._number, asked)
        self._set_sweeper()
        try:
            return await asked.future
        finally:
            # The caller may have been cancelled.
            if asked.future.cancelled():
                self._asked = {number: other for number, other in self._asked.items() if other is not asked}

    def hand_over(self, upgrade: UpgradeRequest, fd: int, failed: Callable[[int], None]) -> None:
        """Send a descriptor, which is this link's from now on; `failed(fd)` gives it back when nobody took it in time."""
        if self._closed:
            failed(fd)
            return
        self._number += 1
        handed_over = self._handed_over[self._number] = _HandedOver(upgrade, fd, failed)
        if self.incarnation:
            self._send_handover(self._number, handed_over)
        if self._receipts_timer is None:
            self._receipts_timer = self._loop.call_later(_RECEIPTS_S, self._look_for_receipts, _RECEIPTS_S)

    def _send_handover(self, number: int, handed_over: _HandedOver) -> None:
        stream = self._stream
        assert stream is not None
        if self._receipts is None:
            self._receipts = Receipts()
            stream.send(ReceiptsWanted(), self._receipts.writer)
        stream.send(Handover(number, handed_over.upgrade), handed_over.fd)
        if len(self._handed_over) >= _MOST_UNREAD:
            self._read_receipts()

    def _look_for_receipts(self, waited_s: float) -> None:
        """Let go of what has arrived, and give up what has passed its deadline: one timer for all."""
        self._receipts_timer = None
        again_s = _RECEIPTS_S if self._read_receipts() else min(2 * waited_s, _SWEEP_S)
        now = monotonic()
        for number, handed_over in list(self._handed_over.items()):
            if now >= handed_over.upgrade.deadline + HANDOVER_MARGIN_S:
                del self._handed_over[number]
                handed_over.failed(handed_over.fd)
        if self._handed_over:
            self._receipts_timer = self._loop.call_later(again_s, self._look_for_receipts, again_s)

    def _read_receipts(self) -> bool:
        """Close our copies of what has arrived. Returns whether anything had."""
        numbers = self._receipts.read() if self._receipts is not None else ()
        for number in numbers:
            handed_over = self._handed_over.pop(number, None)
            if handed_over is not None:
                os.close(handed_over.fd)
        return bool(numbers)

    def _send_ask(self, number: int, asked: _Asked) -> None:
        if self.incarnation and self._stream is not None:
            asked.sent = True
            self._stream.send(Ask(number, self.incarnation, asked.deadline, asked.message))

    def _take(self, envelope: Envelope, _fd: int | None) -> None:
        match envelope:
            case Reply():
                asked = self._asked.pop(envelope.number, None)
                if asked is not None and not asked.future.done():
                    asked.future.set_result(envelope.result)
            case Failure():
                asked = self._asked.pop(envelope.number, None)
                if asked is not None and not asked.future.done():
                    asked.future.set_exception(error_from_code(envelope.code, envelope.subject))
            case Hello():
                self.incarnation = envelope.incarnation
                if self._up is not None:
                    self._up(envelope.incarnation)
                for number, handed_over in list(self._handed_over.items()):
                    self._send_handover(number, handed_over)
                for number, asked in self._asked.items():
                    if not asked.sent:
                        self._send_ask(number, asked)
            case _:
                pass

    def _ended(self) -> None:
        incarnation, self.incarnation = self.incarnation, 0
        self._stream = None
        if self._receipts is not None:
            # What was taken until the end is no longer ours; what is taken after it finds nobody to tell, and is not answered.
            self._read_receipts()
            self._receipts.close()
            self._receipts = None
        self._fail_asks(lambda asked: asked.sent, f"shard {self.shard} went down")
        if incarnation and self._down is not None:
            self._down(incarnation)
        if not self._closed:
            self._reconnect = self._loop.call_later(_RECONNECT_S, self.open)

    def _fail_asks(self, which: Callable[[_Asked], bool], reason: str) -> None:
        for number, asked in list(self._asked.items()):
            if which(asked):
                del self._asked[number]
                if not asked.future.done():
                    asked.future.set_exception(ShardUnavailableError(reason))

    def _set_sweeper(self) -> None:
        if self._sweeper is None and self._asked:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Fail what has passed its deadline: one timer for all."""
        self._sweeper = None
        now = monotonic()
        self._fail_asks(
            lambda asked: asked.deadline != 0 and now >= asked.deadline, f"shard {self.shard} did not answer in time"
        )
        self._set_sweeper()
