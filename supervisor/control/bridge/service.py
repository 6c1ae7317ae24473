"""`BridgeService`: runs the bridge's desk: tells it what happens, and carries out what it decides.

Created by the control plane, in the supervisor's loop. The desk's mailbox hands it what workers say, the control server what
programs say; it has the futures on which workers wait, the timers and the encoding of what is sent. It decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Any

from wspulse.actors.mesh.message import (
    QUESTION_TIMEOUT_S,
    BridgeFrame,
    BridgeMark,
    BridgeNotice,
    BridgeQuestion,
    BridgeRest,
    Message,
)
from wspulse.actors.values.errors import BadRequestError
from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.control.bridge.desk import BridgeDesk
from wspulse.supervisor.control.bridge.instructions import (
    AdoptSoon,
    CancelRetry,
    ClearDeadline,
    Deliver,
    FrameSent,
    Instruction,
    Ping,
    Pose,
    ReportAttached,
    ReportForgotten,
    ReportGone,
    RetrySoon,
    SetDeadline,
    Settle,
)
from wspulse.supervisor.control.bridge.program import AttachedPeer
from wspulse.supervisor.control.bridge.wire import frame_fields, read_attach, read_credit, read_nothing
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.control.socket import PeerGoneError
from wspulse.supervisor.protocol.wire import ControlRequest, encode

__all__ = ["BridgeService"]

TICK_S = 1.0
BACKLOG_RETRY_S = 0.002

_logger = logging.getLogger("wspulse.control")


class BridgeService:
    """See the module. `send(route, data)` raises PeerGoneError; `is_backlogged(route)` says that the peer has not taken
    what was sent before."""

    def __init__(self, send: Callable[[PeerRoute, bytes], None], is_backlogged: Callable[[PeerRoute], bool]) -> None:
        self._send_bytes = send
        self._is_backlogged = is_backlogged
        self._loop = asyncio.get_running_loop()
        self._desk = BridgeDesk()
        self._tickets = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        """By ticket: for what workers wait."""
        self._deadlines: dict[int, asyncio.TimerHandle] = {}
        """By question."""
        self._retries: dict[int, asyncio.TimerHandle] = {}
        """By program."""
        self._forgotten: Counter[str] = Counter()
        """Not yet logged."""
        self._forgotten_log = LogLimit(1)
        self._coming_log = LogLimit(20)
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        self._timer.cancel()
        for timer in (*self._deadlines.values(), *self._retries.values()):
            timer.cancel()

    # From workers.

    def receive(self, message: Message) -> Any:
        """A message of a bridge application. Returns a future of its result, where it has one."""
        waiting: asyncio.Future[Any] | None = None
        match message:
            case BridgeQuestion():
                ticket, waiting = self._wait()
                self._desk.ask(message, ticket)
            case BridgeNotice():
                self._desk.notice(message)
            case BridgeFrame():
                ticket, waiting = self._wait()
                if not self._desk.frame(message, ticket):
                    del self._waiting[ticket]
                    return None
            case BridgeRest():
                ticket, waiting = self._wait()
                if not self._desk.rest(message.connection_id, ticket):
                    del self._waiting[ticket]
                    return None
            case BridgeMark():
                pass
            case _:
                _logger.error("a worker sent the bridge an unexpected message", extra={"said": type(message).__name__})
        self._carry_out()
        return waiting

    def shard_down(self, shard: int) -> None:
        """A worker has ended."""
        self._desk.shard_down(shard)
        self._carry_out()

    def _wait(self) -> tuple[int, asyncio.Future[Any]]:
        ticket = next(self._tickets)
        waiting = self._waiting[ticket] = self._loop.create_future()
        return ticket, waiting

    # From programs.

    def knows(self, op: str) -> bool:
        return op in ("attach", "detach", "credit", "pong")

    def take(self, route: PeerRoute, request: ControlRequest) -> Any:
        """A request of a program. Returns its result; raises BadRequestError."""
        result = None
        if request.op == "attach":
            if route.is_named:
                # ROUTER gives a name to the newest connection that comes with it, and what is for a program along with it.
                raise BadRequestError(
                    "attach: a program must not set ZMQ_ROUTING_ID: another client with the same one would get its requests"
                )
            args = read_attach(request)
            number = self._desk.attach(route, request.encoding, args.window, args.heartbeat, monotonic())
            result = {"program": number}
        elif not self._desk.heard(route, monotonic()):
            raise BadRequestError(f"{request.op}: this peer is not attached")
        elif request.op == "credit":
            self._desk.credit(route, read_credit(request))
        else:
            read_nothing(request)
            if request.op == "detach":
                self._desk.detach(route)
        self._carry_out()
        return result

    def answered(self, route: PeerRoute, request: ControlRequest) -> None:
        """A program's answer to a question; anything else is ignored."""
        self._desk.answered(route, request, monotonic())
        self._carry_out()

    # From the clock.

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._desk.tick(monotonic())
        self._carry_out()

    def _retry(self, peer: AttachedPeer) -> None:
        del self._retries[peer.number]
        self._desk.retry(peer)
        self._carry_out()

    def _deadline_passed(self, number: int) -> None:
        self._desk.deadline_passed(number)
        self._carry_out()

    def _adopt_orphans(self) -> None:
        self._desk.adopt_orphans()
        self._carry_out()

    # What the desk decides.

    def _carry_out(self) -> None:
        while (instruction := self._desk.next_instruction()) is not None:
            self._do(instruction)

    def _do(self, instruction: Instruction) -> None:
        match instruction:
            case Deliver():
                self._deliver(instruction)
            case FrameSent(ticket):
                self._end_wait(ticket, None)
            case Pose(peer, number, asked):
                args = {"path": asked.path, "query": asked.query, "headers": asked.headers, "remote": asked.remote}
                self._send(peer, {"op": "connect", "id": number, "args": args})
            case Ping(peer):
                self._send(peer, {"op": "ping"})
            case Settle(ticket, answer):
                self._end_wait(ticket, answer)
            case SetDeadline(number):
                self._deadlines[number] = self._loop.call_later(QUESTION_TIMEOUT_S, self._deadline_passed, number)
            case ClearDeadline(number):
                self._deadlines.pop(number).cancel()
            case RetrySoon(peer):
                self._retries[peer.number] = self._loop.call_later(BACKLOG_RETRY_S, self._retry, peer)
            case CancelRetry(peer):
                self._retries.pop(peer.number).cancel()
            case AdoptSoon():
                self._loop.call_soon(self._adopt_orphans)
            case ReportAttached(program):
                self._log_coming("a bridge program has attached", program=program)
            case ReportGone(program, reason):
                self._log_coming("a bridge program is gone", program=program, reason=reason)
            case ReportForgotten():
                self._log_forgotten(instruction)

    def _log_coming(self, text: str, **fields: object) -> None:
        """One that attaches again and again must not fill the log."""
        not_logged = self._coming_log.admit(monotonic())
        if not_logged is not None:
            _logger.info(text, extra={**fields, "not_logged": not_logged})

    def _log_forgotten(self, report: ReportForgotten) -> None:
        self._forgotten.update(connections=report.connections, frames=report.frames)
        if self._forgotten_log.admit(monotonic()) is not None:
            _logger.warning("messages that no bridge program took in time were dropped", extra=dict(self._forgotten))
            self._forgotten.clear()

    def _deliver(self, delivery: Deliver) -> None:
        peer, args = delivery.peer, delivery.args
        if self._is_backlogged(peer.route):
            self._desk.held_back(peer)
            return
        if delivery.frame is not None:
            args["frame"] = frame_fields(delivery.frame, peer.encoding)
        if self._send(peer, {"op": delivery.op, "args": args}):
            self._desk.delivered(peer)

    def _send(self, peer: AttachedPeer, message: dict[str, Any]) -> bool:
        try:
            self._send_bytes(peer.route, encode(peer.encoding, message))
        except PeerGoneError:
            self._desk.gone(peer)
            return False
        return True

    def _end_wait(self, ticket: int, result: Any) -> None:
        waiting = self._waiting.pop(ticket)
        if not waiting.done():
            waiting.set_result(result)
