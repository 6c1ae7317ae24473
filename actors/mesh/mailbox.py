"""`Mailbox`: the door of an actor for other processes. Streams come in at a Unix listener that the supervisor keeps open.

Created by the worker's runtime (one per shard). It says who is there (Hello), hands messages to the actor one at a time in
the order of each stream, refuses asks that are too late or meant for another incarnation, and acknowledges descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from wspulse.actors.mesh.actor import MessageTaker
from wspulse.actors.mesh.message import (
    Ask,
    Envelope,
    Failure,
    Handover,
    Hello,
    ReceiptsWanted,
    Reply,
    Tell,
    UpgradeRequest,
)
from wspulse.actors.mesh.receipts import write_receipt
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import WspulseError, error_subject

__all__ = ["HANDOVER_MARGIN_S", "Mailbox"]

HANDOVER_MARGIN_S = 0.5
"""The owner takes no descriptor this short before the handshake's deadline and its sender gives up this long after it, so
that the two never both answer the client."""

_ACCEPTS_PER_TURN = 16

_logger = logging.getLogger("wspulse.mailbox")


class Mailbox:
    """Serves `receive` and `take_over` on `listener` from `open` until `close`."""

    def __init__(
        self,
        listener: socket.socket,
        shard: int,
        incarnation: int,
        receive: MessageTaker,
        take_over: Callable[[UpgradeRequest, int], None],
    ) -> None:
        self._listener = listener
        self._hello = Hello(shard, incarnation)
        self._receive = receive
        self._take_over = take_over
        self._streams: dict[Stream, int | None] = {}
        """With each, the pipe that wants receipts for its handovers."""
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._takes_descriptors = True

    def open(self) -> None:
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._accept)
        self._open = True

    def leave_descriptors(self) -> None:
        """Acknowledge no descriptor any more: their senders keep them for this shard's replacement."""
        self._takes_descriptors = False

    def close(self) -> None:
        """Stop serving. The listener is only this process's copy: what comes in waits for the replacement."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        for stream in list(self._streams):
            stream.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                _logger.warning("a stream could not be accepted", extra={"reason": str(error)})
                return
            self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        def take(envelope: Envelope, fd: int | None) -> None:
            self._take(stream, envelope, fd)

        def ended() -> None:
            receipts = self._streams.pop(stream)
            if receipts is not None:
                os.close(receipts)

        stream = Stream(sock, take, ended)
        self._streams[stream] = None
        stream.send(self._hello)

    def _take(self, stream: Stream, envelope: Envelope, fd: int | None) -> None:
        match envelope:
            case Ask():
                self._answer(stream, envelope)
            case Tell():
                self._receive(envelope.message)
            case Handover():
                self._take_descriptor(stream, envelope, fd)
            case ReceiptsWanted():
                self._take_receipts(stream, fd)
            case _:
                _logger.error("an envelope came that no sender may send", extra={"envelope": type(envelope).__name__})

    def _answer(self, stream: Stream, ask: Ask) -> None:
        number = ask.number
        if ask.deadline and monotonic() >= ask.deadline:
            stream.send(Failure(number, "shard_unavailable", "the request came too late"))
            return
        if ask.incarnation not in (0, self._hello.incarnation):
            stream.send(Failure(number, "shard_unavailable", "the shard was restarted"))
            return
        try:
            result = self._receive(ask.message)
        except Exception as error:
            stream.send(_failure(number, error))
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(partial(_reply_later, stream, number))
        else:
            stream.send(Reply(number, result))

    def _take_receipts(self, stream: Stream, fd: int | None) -> None:
        before, self._streams[stream] = self._streams[stream], fd
        if before is not None:
            os.close(before)

    def _take_descriptor(self, stream: Stream, handover: Handover, fd: int | None) -> None:
        if fd is None:
            return
        if not self._takes_descriptors or monotonic() >= handover.upgrade.deadline - HANDOVER_MARGIN_S:
            # Its sender, who holds a copy, sends it to our replacement or answers 503.
            os.close(fd)
            return
        # The receipt is there before the client can be answered: a sender that finds none sends the descriptor to our
        # replacement, and a client must not be answered twice.
        receipts = self._streams[stream]
        if receipts is None or not write_receipt(receipts, handover.number):
            os.close(fd)
            stream.close()
            return
        self._take_over(handover.upgrade, fd)


def _failure(number: int, error: BaseException) -> Failure:
    if isinstance(error, WspulseError):
        return Failure(number, error.code, error_subject(error))
    _logger.error("an actor failed", exc_info=error)
    return Failure(number, "internal", "internal error")


def _reply_later(stream: Stream, number: int, future: asyncio.Future[Any]) -> None:
    if future.cancelled():
        stream.send(Failure(number, "shard_unavailable", "the shard is closing"))
        return
    error = future.exception()
    stream.send(Reply(number, future.result()) if error is None else _failure(number, error))
