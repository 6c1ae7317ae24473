"""`Copies`: descriptors that are on their way to one shard of another process, which we hold until it has said that they came.

Made by a `ShardLink`. A descriptor goes with its upgrade over the link's stream, and our copy of it stays here: until there is
a receipt, it goes again over each stream that follows, and when its deadline passes without one it is given back. What holds
up a descriptor (none is free for the receipts, the other side could not receive it) holds up nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from wspulse.actors.mesh.mailbox import HANDOVER_MARGIN_S
from wspulse.actors.mesh.message import Envelope, Handover, ReceiptsWanted, UpgradeRequest
from wspulse.actors.mesh.receipts import Receipts
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["Copies"]

_RECEIPTS_S = 0.005
"""How long our copy of a descriptor that was taken may stay open: until then a client whose connection is closed at once does
not see its end. Long enough that a burst of handovers costs one turn of the loop."""

_LOOK_S = 0.05
"""Between two looks when no receipt came."""

_MOST_UNREAD = 256
"""Handovers after which receipts are read at once, lest a burst use up our descriptors."""

_PAUSE_S = 0.05
_MOST_PAUSE_S = 1.0
"""How long descriptors wait, at first and at most, when a shard that lives has ended the stream on which they were sent. It
may have none free, and asks are to get through meanwhile."""

_logger = logging.getLogger("wspulse.link")


class CopyStream(Protocol):
    """The stream to the shard, as far as descriptors need it."""

    def send(self, envelope: Envelope, fd: int | None = None) -> int: ...
    def take_back(self, number: int) -> bool: ...


@dataclass(slots=True)
class _Copy:
    upgrade: UpgradeRequest
    fd: int
    failed: Callable[[int], None]
    envelope: int = 0
    """Its number in the stream, 0 while it is to be sent."""


class Copies:
    """See the module."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """In which the loop calls us, whoever hands something over."""
        self._stream: CopyStream | None = None
        self._incarnation = 0
        """Of the shard that was there last."""
        self._number = 0
        self._copies: dict[int, _Copy] = {}
        self._unsent: list[int] = []
        self._pause_s = 0.0
        self._paused_until = 0.0
        self._receipts: Receipts | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._log = LogLimit()

    def add(self, upgrade: UpgradeRequest, fd: int, failed: Callable[[int], None]) -> None:
        """Send a descriptor, which is ours from now on; `failed(fd)` gives it back when nobody took it in time."""
        self._number = number = self._number + 1
        self._copies[number] = _Copy(upgrade, fd, failed)
        self._unsent.append(number)
        self._send_unsent()
        if len(self._copies) >= _MOST_UNREAD:
            self._read_receipts()
        if self._timer is None and self._copies:
            self._timer = self._loop.call_later(_RECEIPTS_S, self._look, _RECEIPTS_S, context=self._context)

    def begin(self, stream: CopyStream, incarnation: int) -> None:
        """The shard is there: send what is here."""
        if incarnation == self._incarnation and self._copies:
            self._pause_s = min(max(2 * self._pause_s, _PAUSE_S), _MOST_PAUSE_S)
            self._paused_until = monotonic() + self._pause_s
        else:
            self._pause_s = self._paused_until = 0.0
        self._stream, self._incarnation = stream, incarnation
        self._send_unsent()

    def end(self) -> None:
        """The stream has ended."""
        self._stream = None
        if self._receipts is not None:
            # What was taken before the end is no longer ours; what is taken after it cannot be reported, and is not answered.
            self._read_receipts()
            self._receipts.close()
            self._receipts = None
        for copy in self._copies.values():
            copy.envelope = 0
        self._unsent = list(self._copies)

    def close(self) -> None:
        """Give back what is left, after the end of the stream."""
        if self._timer is not None:
            self._timer.cancel()
        for number in list(self._copies):
            self._give_back(number)

    def _send_unsent(self) -> None:
        stream = self._stream
        if stream is None or not self._unsent or (self._paused_until and monotonic() < self._paused_until):
            return
        if self._receipts is None:
            try:
                self._receipts = Receipts()
            except OSError:
                return  # no descriptor is free for it: the timer tries again
            stream.send(ReceiptsWanted(), self._receipts.writer)
        unsent, self._unsent = self._unsent, []
        for number in unsent:
            copy = self._copies.get(number)
            if copy is None:
                continue
            try:
                copy.envelope = stream.send(Handover(number, copy.upgrade), copy.fd)
            except Exception as error:  # what `connect` made the state of may be what no process can be sent
                not_logged = self._log.admit(monotonic())
                if not_logged is not None:
                    _logger.error(
                        "an upgrade could not be handed over", exc_info=error, extra={"not_logged": not_logged}
                    )
                self._give_back(number)

    def _look(self, waited_s: float) -> None:
        """Let go of what has arrived, send what could not be sent, give up what is too late: one timer for all."""
        self._timer = None
        again_s = _RECEIPTS_S if self._read_receipts() else min(2 * waited_s, _LOOK_S)
        self._send_unsent()
        now = monotonic()
        late = [number for number, copy in self._copies.items() if now >= copy.upgrade.deadline + HANDOVER_MARGIN_S]
        try:
            for number in late:
                self._give_back(number)
        finally:
            # Whatever a giver makes of what it gets back.
            if self._copies and self._timer is None:
                self._timer = self._loop.call_later(again_s, self._look, again_s, context=self._context)

    def _read_receipts(self) -> bool:
        """Close our copies of what has arrived. Returns whether anything had."""
        numbers = self._receipts.read() if self._receipts is not None else ()
        for number in numbers:
            copy = self._copies.pop(number, None)
            if copy is not None:
                os.close(copy.fd)
        if numbers:
            self._pause_s = 0.0
        return bool(numbers)

    def _give_back(self, number: int) -> None:
        copy = self._copies.pop(number)
        if self._stream is not None and copy.envelope:
            # Its number may soon be another file's.
            self._stream.take_back(copy.envelope)
        copy.failed(copy.fd)
