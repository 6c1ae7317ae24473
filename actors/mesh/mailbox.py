"""`Mailbox`: the door of an actor for other processes. Streams come in at a Unix listener that the supervisor keeps open.

Created by the worker's runtime (one per shard). It says who is there (Hello), hands messages to the actor one at a time in
the order of each stream, refuses asks that are too late or meant for another incarnation, and acknowledges descriptors. Of
somebody who does not read its answers it takes no more asks.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Protocol

from wspulse.actors.mesh.actor import MessageTaker
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
    Withdrawal,
)
from wspulse.actors.mesh.placing.held import held
from wspulse.actors.mesh.placing.moves import MoveEnvelope
from wspulse.actors.mesh.receipts import write_receipt
from wspulse.actors.mesh.stream import Stream
from wspulse.actors.values.errors import (
    InTransitError,
    SessionMovedError,
    ShardUnavailableError,
    WspulseError,
    error_subject,
)
from wspulse.actors.values.log_limit import LogLimit

__all__ = ["HANDOVER_MARGIN_S", "Mailbox"]

HANDOVER_MARGIN_S = 0.5
"""The owner takes no descriptor this short before the handshake's deadline and its sender gives up this long after it, so
that the two never both answer the client."""

_ACCEPTS_PER_TURN = 16

_SHORTAGE_S = 0.1
"""How long nothing is accepted when it could not be: what waits there would call again at once, and keep the loop busy."""

_MOST_UNREAD_BYTES = 16 * 1024 * 1024
"""What may wait for an asker who does not read: a list of 100,000 sessions and more, besides the answer that came last."""

_logger = logging.getLogger("wspulse.mailbox")
_shortage_log = LogLimit(burst=1)
_fault_log = LogLimit()


class _Caller:
    """What is kept with each stream: the pipe that wants receipts for its handovers, and what was asked and is not
    answered."""

    __slots__ = ("asked", "receipts")

    def __init__(self) -> None:
        self.receipts: int | None = None
        self.asked: dict[int, asyncio.Future[Any]] = {}


class MoveTaker(Protocol):
    """The target's end of moves."""

    def take(self, stream: Stream, envelope: MoveEnvelope, fd: int | None) -> None:
        """The descriptor is the taker's."""

    def stream_ended(self, stream: Stream) -> None:
        """Of any stream, also where it moved nothing."""


class Mailbox:
    """Serves `receive` and `take_over`, and `moves` once it has some, on `listener` from `open` until `close`."""

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
        self.moves: MoveTaker | None = None
        """Handles what a process that moves sessions here says; None if no process does."""
        self._callers: dict[Stream, _Caller] = {}
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._shortage: asyncio.TimerHandle | None = None
        self._takes_descriptors = True

    def open(self) -> None:
        self._listener.setblocking(False)
        self._open = True
        self._accept_again()

    def leave_descriptors(self) -> None:
        """Acknowledge no descriptor any more: their senders keep them for this shard's replacement."""
        self._takes_descriptors = False

    def move(self, listener: socket.socket) -> None:
        """Serve on another listener from now on, where the file of ours was removed. Streams that came in go on."""
        former, self._listener = self._listener, listener
        listener.setblocking(False)
        waits = self._open and self._shortage is None
        if waits:
            self._loop.remove_reader(former.fileno())
        former.close()
        if waits:
            self._accept_again()

    def close(self) -> None:
        """Stop serving. The listener is only this process's copy: what comes in waits for the replacement."""
        if self._open:
            self._open = False
            if self._shortage is not None:
                self._shortage.cancel()
            else:
                self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
        for stream in list(self._callers):
            stream.close()

    def _accept_again(self) -> None:
        self._shortage = None
        try:
            self._loop.add_reader(self._listener.fileno(), self._accept)
        except OSError as error:
            self._accept_later(error)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            sock: socket.socket | None = None
            try:
                sock, _ = self._listener.accept()
                self._serve(sock)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if sock is not None:
                    sock.close()
                if error.errno == errno.ECONNABORTED:
                    continue
                self._loop.remove_reader(self._listener.fileno())
                self._accept_later(error)
                return

    def _accept_later(self, error: OSError) -> None:
        self._shortage = self._loop.call_later(_SHORTAGE_S, self._accept_again)
        not_logged = _shortage_log.admit(monotonic())
        if not_logged is not None:
            extra = {"shard": self._hello.shard, "reason": str(error), "not_logged": not_logged}
            _logger.warning("a stream could not be accepted; trying again", extra=extra)

    def _serve(self, sock: socket.socket) -> None:
        def take(envelope: Envelope, fd: int | None) -> None:
            self._take(stream, envelope, fd)

        def ended() -> None:
            caller = self._callers.pop(stream)
            if caller.receipts is not None:
                os.close(caller.receipts)
            asked, caller.asked = caller.asked, {}
            for future in asked.values():
                future.cancel()
            if self.moves is not None:
                self.moves.stream_ended(stream)

        stream = Stream(sock, take, ended, most_unread_bytes=_MOST_UNREAD_BYTES)
        self._callers[stream] = _Caller()
        stream.send(self._hello)

    def _take(self, stream: Stream, envelope: Envelope, fd: int | None) -> None:
        match envelope:
            case Ask():
                self._answer(stream, envelope)
            case Tell():
                self._tell(envelope.message)
            case Handover():
                self._take_descriptor(stream, envelope, fd)
            case ReceiptsWanted():
                self._take_receipts(stream, fd)
            case Withdrawal():
                future = self._callers[stream].asked.pop(envelope.number, None)
                if future is not None:
                    future.cancel()
            case _ if self.moves is not None and isinstance(envelope, MoveEnvelope):
                self.moves.take(stream, envelope, fd)
            case _:
                _logger.error(
                    "an envelope arrived that no sender may send", extra={"envelope": type(envelope).__name__}
                )

    def _tell(self, message: Message) -> None:
        try:
            self._receive(message)
        except InTransitError as in_transit:
            in_transit.wait(partial(self._tell, message))
        except SessionMovedError:
            pass  # a tell is lost with the actor

    def _answer(self, stream: Stream, ask: Ask) -> None:
        number = ask.number
        if ask.deadline and monotonic() >= ask.deadline:
            stream.send(Failure(number, "shard_unavailable", "the request arrived too late"))
            return
        if ask.incarnation not in (0, self._hello.incarnation):
            stream.send(Failure(number, "shard_unavailable", "the shard was restarted"))
            return
        try:
            result = self._receive(ask.message)
        except InTransitError as in_transit:
            result = held(ask.message, partial(self._receive_in_time, ask.deadline), in_transit, self._loop)
        except BaseException as error:
            stream.send(_failure(number, error))
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return
        if not isinstance(result, asyncio.Future):
            _reply(stream, number, result)
            return
        if (caller := self._callers.get(stream)) is not None:
            caller.asked[number] = result
        result.add_done_callback(partial(self._reply_later, stream, number))

    def _receive_in_time(self, deadline: float, message: Message) -> Any:
        """What was held may have become too late meanwhile."""
        if deadline and monotonic() >= deadline:
            raise ShardUnavailableError("the request arrived too late")
        return self._receive(message)

    def _reply_later(self, stream: Stream, number: int, future: asyncio.Future[Any]) -> None:
        caller = self._callers.get(stream)
        if caller is None:
            if not future.cancelled():
                future.exception()  # nobody is there to be told
            return
        caller.asked.pop(number, None)
        if future.cancelled():
            stream.send(Failure(number, "shard_unavailable", "the shard is closing"))
        elif (error := future.exception()) is not None:
            stream.send(_failure(number, error))
        else:
            _reply(stream, number, future.result())

    def _take_receipts(self, stream: Stream, fd: int | None) -> None:
        caller = self._callers[stream]
        before, caller.receipts = caller.receipts, fd
        if before is not None:
            os.close(before)

    def _take_descriptor(self, stream: Stream, handover: Handover, fd: int | None) -> None:
        assert fd is not None
        if not self._takes_descriptors or monotonic() >= handover.upgrade.deadline - HANDOVER_MARGIN_S:
            # Its sender, who holds a copy, sends it to our replacement or answers 503.
            os.close(fd)
            return
        # The receipt is there before the client can be answered: a sender that finds none sends the descriptor to our
        # replacement, and a client must not be answered twice.
        receipts = self._callers[stream].receipts
        if receipts is None or not write_receipt(receipts, handover.number):
            os.close(fd)
            stream.close()
            return
        self._take_over(handover.upgrade, fd)


def _failure(number: int, error: BaseException) -> Failure:
    if isinstance(error, WspulseError):
        return Failure(number, error.code, error_subject(error))
    not_logged = _fault_log.admit(monotonic())
    if not_logged is not None:
        _logger.error("an actor failed", exc_info=error, extra={"not_logged": not_logged})
    return Failure(number, "internal", "internal error")


def _reply(stream: Stream, number: int, result: Any) -> None:
    try:
        stream.send(Reply(number, result))
    except Exception as error:  # an answer that cannot be sent is a fault of this one ask
        stream.send(_failure(number, error))
