"""`ControlServer`: reads the requests that peers send, has each carried out, and answers it once.

Created by the control plane, in the supervisor's loop. Messages come from its `ControlSocket` and answers go there; what an
operation does is in `Operations`, each as a task of its own, and what is about the peer itself in the bridge. Answers go out
as they come. It knows the protocol and its limits; what the frames mean is left to the shards. (doc/reference/control.md)
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, NamedTuple, Protocol

import msgspec
import zmq

from wspulse.actors.values.errors import (
    BadRequestError,
    ConnectionClosedError,
    ConnectionNotFoundError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    WspulseError,
)
from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.control.operations import Operations
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.control.socket import ControlSocket, PeerGoneError
from wspulse.supervisor.process.restart.failure import MoveFailedError, ReloadRefusedError, RestartFailedError
from wspulse.supervisor.protocol.wire import (
    ControlRequest,
    UnreadableRequestError,
    error_answer,
    read_args,
    read_request,
    result_answer,
)

__all__ = ["ControlServer", "PeerOperations"]

PEER_REQUESTS = 1024
"""Outstanding requests of one peer: ten times what a busy client has."""

TOTAL_REQUESTS = 16_384
TOTAL_BYTES = 256 * 1024 * 1024
"""Outstanding requests of all peers: three of the largest, or many small ones."""

PUBLIC_ERRORS = (
    BadRequestError,
    ConnectionClosedError,
    ConnectionNotFoundError,
    SendBufferFullError,
    ServerClosedError,
    ShardUnavailableError,
    ReloadRefusedError,
    RestartFailedError,
    MoveFailedError,
)
"""Those whose codes doc/reference/control.md lists. Any other error is our fault and is only logged."""

_logger = logging.getLogger("wspulse.control")


class PeerOperations(Protocol):
    """Operations that are about the peer itself: those of the bridge."""

    def take(self, route: PeerRoute, request: ControlRequest) -> Any:
        """Take a request about the peer and return its result. Raises WspulseError. Without an id it is not answered."""

    def answered(self, route: PeerRoute, request: ControlRequest) -> None:
        """Take a peer's answer to a question."""

    def knows(self, op: str) -> bool: ...


class _Operation(NamedTuple):
    args: type[msgspec.Struct]
    run: Callable[[Any, str], Awaitable[Any]]


class ControlServer:
    """Serves on `router`, a ROUTER that is bound before `open`, until `close`."""

    def __init__(self, router: zmq.Socket[bytes], operations: Operations) -> None:
        self._control_socket = ControlSocket(router, self._take)
        self._operations = {
            name: _Operation(args, getattr(operations, name)) for name, args in operations.arguments.items()
        }
        self.peer_operations: PeerOperations | None = None
        """Set before `open`, where there is a bridge."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._outstanding: Counter[tuple[bytes, int]] = Counter()
        self._total_requests = 0
        self._total_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._failed_log = LogLimit()

    def open(self) -> None:
        self._control_socket.open()

    def bound_again(self) -> None:
        """The socket has got a further address."""
        self._control_socket.bound_again()

    async def close(self) -> None:
        """End. Requests under way are not answered."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._control_socket.close()

    def send(self, route: PeerRoute, data: bytes) -> None:
        """Send something that is no answer. Raises PeerGoneError."""
        self._control_socket.send(route, data)

    def is_backlogged(self, route: PeerRoute) -> bool:
        """Whether a peer has not taken what was sent to it before."""
        return self._control_socket.is_backlogged(route)

    def _take(self, route: PeerRoute, data: bytes) -> None:
        try:
            request = read_request(data)
        except UnreadableRequestError as error:
            self._answer(
                route,
                error_answer(error.encoding, error.request_id, "bad_request", str(BadRequestError(error.problem))),
            )
            return
        operation = self._operations.get(request.op)
        if operation is None:
            self._take_other(route, request)
            return
        try:
            args = read_args(request, operation.args)
            self._admit(route.peer, len(data))
        except WspulseError as error:
            self._refuse(route, request, error)
            return
        task = self._loop.create_task(self._run(route, request, operation, args, len(data)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take_other(self, route: PeerRoute, request: ControlRequest) -> None:
        peers = self.peer_operations
        if not request.op:
            if peers is not None:
                peers.answered(route, request)
            return
        if peers is None or not peers.knows(request.op):
            text = f"wspulse: unknown op: {request.op[:100]}"
            self._answer(route, error_answer(request.encoding, request.id, "unknown_op", text))
            return
        try:
            result = peers.take(route, request)
        except WspulseError as error:
            self._refuse(route, request, error)
            return
        if request.id is not None:
            self._answer(route, result_answer(request.encoding, request.id, result))

    def _admit(self, peer: tuple[bytes, int], size: int) -> None:
        if (
            self._outstanding[peer] >= PEER_REQUESTS
            or self._total_requests >= TOTAL_REQUESTS
            or self._total_bytes + size > TOTAL_BYTES
        ):
            raise ShardUnavailableError("too many requests are outstanding")
        self._outstanding[peer] += 1
        self._total_requests += 1
        self._total_bytes += size

    async def _run(
        self, route: PeerRoute, request: ControlRequest, operation: _Operation, args: Any, size: int
    ) -> None:
        try:
            result = await operation.run(args, request.encoding)
            self._answer(route, result_answer(request.encoding, request.id, result))
        except Exception as error:
            self._refuse(route, request, error)
        finally:
            peer = route.peer
            self._outstanding[peer] -= 1
            if not self._outstanding[peer]:
                del self._outstanding[peer]
            self._total_requests -= 1
            self._total_bytes -= size

    def _refuse(self, route: PeerRoute, request: ControlRequest, error: Exception) -> None:
        if isinstance(error, PUBLIC_ERRORS):
            code, text = error.code, str(error)
        else:
            not_logged = self._failed_log.admit(monotonic())
            if not_logged is not None:
                extra = {"op": request.op, "not_logged": not_logged}
                _logger.error("a control request failed", exc_info=error, extra=extra)
            code, text = "internal", "wspulse: internal error"
        self._answer(route, error_answer(request.encoding, request.id, code, text))

    def _answer(self, route: PeerRoute, data: bytes) -> None:
        try:
            self._control_socket.send(route, data)
        except PeerGoneError:
            pass  # it asked and left
