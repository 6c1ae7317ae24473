"""`BridgeDesk`: between the workers of a `bridge` server and the programs that are its application (doc/control.md).

Created by the control plane. Each connection is assigned to one attached program; what happens to it goes there in order,
as far as the program's credit reaches, and waits here otherwise: one frame per connection at most, since its worker reads
no further until the frame has gone out. The connections of a program that is gone go to the others, or wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import msgspec

from wspulse.actors.mesh.message import QUESTION_TIMEOUT_S, BridgeFrame, BridgeNotice, BridgeQuestion, Message
from wspulse.actors.values.errors import BadRequestError
from wspulse.supervisor.control.bridge.wire import frame_fields, read_identity
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.control.socket import PeerGoneError
from wspulse.supervisor.protocol.wire import ControlRequest, encode, read_args

__all__ = ["BridgeDesk"]

TICK_S = 1.0
BACKLOG_RETRY_S = 0.002
MOST_QUESTIONS = 10_000
"""Open at once; beyond that newcomers are refused."""

_logger = logging.getLogger("wspulse.control")


class AttachArguments(msgspec.Struct, forbid_unknown_fields=True):
    window: int = 256
    """Messages that may be on their way to the program, or unread in it."""
    heartbeat: float = 10.0
    """Seconds of silence after which the program counts as dead."""


class CreditArguments(msgspec.Struct, forbid_unknown_fields=True):
    count: int


class NoArguments(msgspec.Struct, forbid_unknown_fields=True):
    pass


@dataclass(slots=True, eq=False)
class _Connection:
    id: str
    room_id: str
    shard: int
    program: _Program | None = None
    is_told: bool = False
    """Whether some program was told of it."""


@dataclass(slots=True, eq=False)
class _Item:
    connection: _Connection
    op: str
    args: dict[str, Any] = field(default_factory=dict)
    frame: BridgeFrame | None = None
    sent: asyncio.Future[None] | None = None


@dataclass(slots=True, eq=False)
class _Question:
    number: int
    question: BridgeQuestion
    answer: asyncio.Future[dict[str, Any]]
    timer: asyncio.TimerHandle
    program: _Program | None = None


@dataclass(slots=True, eq=False)
class _Program:
    number: int
    route: PeerRoute
    encoding: str
    window: int
    heartbeat_s: float
    heard_at: float
    credit: int = 0
    queue: deque[_Item] = field(default_factory=deque)
    connections: dict[str, _Connection] = field(default_factory=dict)
    questions: int = 0
    retry: asyncio.TimerHandle | None = None

    @property
    def load(self) -> int:
        return len(self.connections) + self.questions


class BridgeDesk:
    """See the module. `send(route, data)` raises PeerGoneError; `is_backlogged(route)` says that the peer has not
    taken what was sent before."""

    def __init__(self, send: Callable[[PeerRoute, bytes], None], is_backlogged: Callable[[PeerRoute], bool]) -> None:
        self._send_bytes = send
        self._is_backlogged = is_backlogged
        self._loop = asyncio.get_running_loop()
        self._programs: dict[PeerRoute, _Program] = {}
        self._connections: dict[str, _Connection] = {}
        self._orphaned: deque[_Item] = deque()
        """What happened to connections that no program has."""
        self._questions: dict[int, _Question] = {}
        self._number = 0
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        self._timer.cancel()
        for question in self._questions.values():
            question.timer.cancel()
        for program in self._programs.values():
            if program.retry is not None:
                program.retry.cancel()

    # From workers.

    def receive(self, message: Message) -> Any:
        """A message of a bridge application. Returns a future of its result, where it has one."""
        match message:
            case BridgeQuestion():
                return self._ask(message)
            case BridgeNotice():
                self._notice(message)
            case BridgeFrame():
                return self._frame(message)
            case _:
                _logger.error("a worker told the bridge what is not for it", extra={"said": type(message).__name__})
        return None

    def shard_down(self, shard: int) -> None:
        """A worker has ended: nobody else will say that its sessions have."""
        error = {"type": "ShardUnavailableError", "message": f"wspulse: shard unavailable: shard {shard} went down"}
        for connection in [each for each in self._connections.values() if each.shard == shard]:
            self._disconnected(connection, error)

    def _ask(self, message: BridgeQuestion) -> asyncio.Future[dict[str, Any]]:
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        if len(self._questions) >= MOST_QUESTIONS:
            answer.set_result({"status": 503, "text": "too many connections are on their way"})
            return answer
        self._number += 1
        timer = self._loop.call_later(QUESTION_TIMEOUT_S, self._unanswered, self._number)
        question = self._questions[self._number] = _Question(self._number, message, answer, timer)
        self._pose(question)
        return answer

    def _pose(self, question: _Question) -> None:
        program = self._least_loaded()
        if program is None:
            self._settle(question, {"status": 503, "text": "no program is attached"})
            return
        question.program = program
        program.questions += 1
        asked = question.question
        args = {"path": asked.path, "query": asked.query, "headers": asked.headers, "remote": asked.remote}
        self._send(program, {"op": "connect", "id": question.number, "args": args})

    def _unanswered(self, number: int) -> None:
        self._settle(self._questions[number], {"status": 503, "text": "the program did not answer in time"})

    def _settle(self, question: _Question, answer: dict[str, Any]) -> None:
        del self._questions[question.number]
        question.timer.cancel()
        if question.program is not None:
            question.program.questions -= 1
        if not question.answer.done():
            question.answer.set_result(answer)

    def _notice(self, notice: BridgeNotice) -> None:
        connection = self._connections.get(notice.connection_id)
        if notice.kind == "connected":
            if connection is not None:
                self._disconnected(connection, None)
            connection = _Connection(notice.connection_id, notice.room_id, notice.shard)
            self._connections[connection.id] = connection
            chosen = next((each for each in self._programs.values() if each.number == notice.program), None)
            self._assign(connection, chosen or self._least_loaded())
            self._put(_Item(connection, "connected", {"adopted": False}))
        elif connection is None:
            pass  # of a worker that is gone
        elif notice.kind == "disconnected":
            self._disconnected(connection, notice.error)
        else:
            self._put(_Item(connection, notice.kind, {} if notice.kind == "restored" else {"error": notice.error}))

    def _disconnected(self, connection: _Connection, error: dict[str, str] | None) -> None:
        del self._connections[connection.id]
        self._put(_Item(connection, "disconnected", {"error": error}))
        if connection.program is not None:
            connection.program.connections.pop(connection.id, None)

    def _frame(self, frame: BridgeFrame) -> asyncio.Future[None] | None:
        connection = self._connections.get(frame.connection_id)
        if connection is None:
            return None
        sent: asyncio.Future[None] = self._loop.create_future()
        self._put(_Item(connection, "message", frame=frame, sent=sent))
        return sent

    # From programs.

    def knows(self, op: str) -> bool:
        return op in ("attach", "detach", "credit", "pong")

    def take(self, route: PeerRoute, request: ControlRequest) -> Any:
        """A request of a program. Returns its result; raises BadRequestError."""
        program = self._programs.get(route)
        if request.op == "attach":
            return self._attach(route, request, read_args(request, AttachArguments))
        if program is None:
            raise BadRequestError(f"{request.op}: this peer is not attached")
        program.heard_at = monotonic()
        match request.op:
            case "credit":
                count = read_args(request, CreditArguments).count
                if count < 1:
                    raise BadRequestError("args: `count` is at least 1")
                program.credit = min(program.window, program.credit + count)
                self._pump(program)
            case "detach":
                read_args(request, NoArguments)
                self._gone(program, "it detached")
            case _:
                read_args(request, NoArguments)
        return None

    def answered(self, route: PeerRoute, request: ControlRequest) -> None:
        """A program's answer to a question; anything else is ignored."""
        program = self._programs.get(route)
        question = self._questions.get(request.id) if isinstance(request.id, int) else None
        if program is None or question is None or question.program is not program:
            return
        program.heard_at = monotonic()
        self._settle(question, read_identity(request, program.number))

    def _attach(self, route: PeerRoute, request: ControlRequest, args: AttachArguments) -> dict[str, Any]:
        if not 1 <= args.window <= 100_000:
            raise BadRequestError(f"args: `window` is {args.window}; allowed is 1 … 100000")
        if not 1 <= args.heartbeat <= 300:
            raise BadRequestError(f"args: `heartbeat` is {args.heartbeat:g}; allowed is 1 … 300 seconds")
        if (old := self._programs.get(route)) is not None:
            self._gone(old, "it attached anew")
        self._number += 1
        program = _Program(
            self._number, route, request.encoding, args.window, args.heartbeat, monotonic(), credit=args.window
        )
        self._programs[route] = program
        _logger.info("a bridge program has attached", extra={"program": program.number})
        # After the answer to the request itself.
        self._loop.call_soon(self._adopt_orphans)
        return {"program": program.number}

    def _adopt_orphans(self) -> None:
        items, self._orphaned = self._orphaned, deque()
        self._hand_on([each for each in self._connections.values() if each.program is None], items)

    def _gone(self, program: _Program, reason: str) -> None:
        """A program is no longer there: what it had goes to the others."""
        if self._programs.get(program.route) is not program:
            return
        del self._programs[program.route]
        if program.retry is not None:
            program.retry.cancel()
        _logger.info("a bridge program is gone", extra={"program": program.number, "reason": reason})
        for question in [each for each in self._questions.values() if each.program is program]:
            question.program = None
            self._pose(question)
        self._hand_on(list(program.connections.values()), program.queue)

    def _hand_on(self, connections: list[_Connection], items: deque[_Item]) -> None:
        """Assign connections anew, and those that have ended but of which something is still to be told; then put what
        waits for them, in its order, to their new programs."""
        for connection in dict.fromkeys([*connections, *(item.connection for item in items)]):
            self._assign(connection, self._least_loaded())
            if connection.is_told and connection.program is not None:
                self._put(_Item(connection, "connected", {"adopted": True}))
        for item in items:
            # Of a connection that was told of, this is an earlier adoption.
            if item.op != "connected" or not item.args["adopted"]:
                self._put(item)

    # Out.

    def _least_loaded(self) -> _Program | None:
        return min(self._programs.values(), key=lambda program: program.load, default=None)

    def _assign(self, connection: _Connection, program: _Program | None) -> None:
        connection.program = program
        if program is not None and self._connections.get(connection.id) is connection:
            program.connections[connection.id] = connection

    def _put(self, item: _Item) -> None:
        program = item.connection.program
        if program is None:
            self._orphaned.append(item)
            return
        program.queue.append(item)
        self._pump(program)

    def _pump(self, program: _Program) -> None:
        """Send what the program's credit allows."""
        queue = program.queue
        while queue and program.credit > 0 and self._programs.get(program.route) is program:
            if self._is_backlogged(program.route):
                if program.retry is None:
                    program.retry = self._loop.call_later(BACKLOG_RETRY_S, self._pump_again, program)
                return
            item = queue[0]
            args = {"connection": item.connection.id, "room": item.connection.room_id, **item.args}
            if item.frame is not None:
                args["frame"] = frame_fields(item.frame, program.encoding)
            if not self._send(program, {"op": item.op, "args": args}):
                return
            queue.popleft()
            program.credit -= 1
            item.connection.is_told = True
            if item.sent is not None and not item.sent.done():
                item.sent.set_result(None)

    def _pump_again(self, program: _Program) -> None:
        program.retry = None
        self._pump(program)

    def _send(self, program: _Program, message: dict[str, Any]) -> bool:
        try:
            self._send_bytes(program.route, encode(program.encoding, message))
        except PeerGoneError:
            # Not now: the caller may be in the middle of this program's queue.
            self._loop.call_soon(self._gone, program, "its connection ended")
            return False
        return True

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        now = monotonic()
        for program in list(self._programs.values()):
            if now - program.heard_at > program.heartbeat_s:
                self._gone(program, "it is silent")
            else:
                self._send(program, {"op": "ping"})
