"""`ControlSocket`: carries messages between the ROUTER socket and the control server, whatever they mean.

Created by the control server, on a socket that the control plane opens and binds. It hands each message's last part on with
the route that leads back to its sender, and sends answers in the order of the calls. Everything is bounded: the size of a
message, what waits from a peer, what waits for a peer. A peer that does not read its answers loses them, and harms nobody
else.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import zmq

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.control.route import PeerRoute
from wspulse.supervisor.protocol.lookout import Lookout
from wspulse.supervisor.protocol.received import Received

__all__ = ["MAX_MESSAGE_BYTES", "ControlSocket", "PeerGoneError"]

MAX_MESSAGE_BYTES = 80 * 1024 * 1024
"""The largest frame (64 MiB) with all that may stand around it. ZeroMQ cuts a peer that sends more."""

RECEIVE_HIGH_WATER_MESSAGES = 32
"""Per peer, and each may be large. ZeroMQ then stops reading that peer."""

SEND_HIGH_WATER_MESSAGES = 128
"""Per peer, in ZeroMQ; what more there is waits here, where its bytes are counted."""

UNSENT_BYTES = 16 * 1024 * 1024
"""Per peer. A single answer may be larger."""

UNSENT_S = 10.0
"""A peer that has taken nothing for so long does not read."""

RETRY_S = 0.005
MAX_PARTS = 8

MOST_NAMES = 10_000
"""Of peers that name themselves. Beyond that all are forgotten, and the answers under way go to whoever has the name."""

DRAIN_BUDGET = 64
"""Messages taken in one go; then the workers' streams have their turn."""

_logger = logging.getLogger("wspulse.control")


class PeerGoneError(Exception):
    """There is no such peer any more."""


class _Unsent:
    __slots__ = ("answers", "since", "size")

    def __init__(self, now: float) -> None:
        self.answers: deque[tuple[PeerRoute, bytes]] = deque()
        self.size = 0
        self.since = now


class _Inlet:
    """Takes messages from the ROUTER, and knows over which connection the last one came, if its sender names itself."""

    def __init__(self, router: zmq.Socket[bytes]) -> None:
        self._router = router
        self.connection = -1

    def recv_multipart(self, flags: int) -> list[bytes]:
        frames = self._router.recv_multipart(flags, copy=False)
        parts = [frame.bytes for frame in frames]
        self.connection = -1
        if parts[0][:1] != b"\0":
            with suppress(zmq.ZMQError):  # it is told of every kind of connection that there is here
                self.connection = int(frames[-1].get(zmq.SRCFD))
        return parts


class ControlSocket:
    """Serves from `open` until `close`. `on_message(route, data)` is called for each message."""

    def __init__(self, router: zmq.Socket[bytes], on_message: Callable[[PeerRoute, bytes], None]) -> None:
        """`router` is a ROUTER that is not bound yet; it is closed here."""
        self._router = router
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._unsent: dict[tuple[bytes, int], _Unsent] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._named: dict[bytes, int] = {}
        """Of each name, the connection that was heard last."""
        self._logs: defaultdict[str, LogLimit] = defaultdict(LogLimit)
        """By text, so that a flood of one hides no other."""
        self._lookout = Lookout(self._look, router)
        router.setsockopt(zmq.LINGER, 500)  # the answer to `shutdown` is on its way when this closes
        router.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        router.setsockopt(zmq.RCVHWM, RECEIVE_HIGH_WATER_MESSAGES)
        router.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER_MESSAGES)
        # Full and gone peers are told apart instead of dropped silently.
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # A program that names its identity and comes again is not locked out by its own dead connection.
        router.setsockopt(zmq.ROUTER_HANDOVER, 1)

    def open(self) -> None:
        """Start reading; the socket is bound by then."""
        self._lookout.open()

    def bound_again(self) -> None:
        """The socket has got a further address, which may have used up a change of its descriptor."""
        self._lookout.again()

    def close(self) -> None:
        """Send what ZeroMQ still takes, and end."""
        if self._lookout.is_closed:
            return
        if self._retry is not None:
            self._retry.cancel()
        self._lookout.close()
        self._router.close()

    def send(self, route: PeerRoute, data: bytes) -> None:
        """Send an answer, or keep it until its peer takes it. Raises PeerGoneError when there is no such peer any more, or
        another connection has its name."""
        if self._lookout.is_closed:
            raise PeerGoneError
        unsent = self._unsent.get(route.peer)
        if unsent is None:
            if self._send(route, data):
                return
            unsent = self._unsent[route.peer] = _Unsent(monotonic())
            if self._retry is None:
                self._retry = self._loop.call_later(RETRY_S, self._try_again)
        elif unsent.size + len(data) > UNSENT_BYTES:
            self._give_up(route.peer)
            raise PeerGoneError
        unsent.answers.append((route, data))
        unsent.size += len(data)

    def is_backlogged(self, route: PeerRoute) -> bool:
        """Whether something waits here for the peer to take it."""
        return route.peer in self._unsent

    def _remember(self, route: PeerRoute) -> None:
        """ROUTER gives a name to the newest connection that comes with it; the one before is heard no more."""
        if len(self._named) >= MOST_NAMES and route.identity not in self._named:
            self._named.clear()
        self._named[route.identity] = route.connection

    def _send(self, route: PeerRoute, data: bytes) -> bool:
        """False when the peer takes nothing now."""
        if route.is_named and self._named.get(route.identity, route.connection) != route.connection:
            raise PeerGoneError
        self._lookout.again()
        try:
            self._router.send_multipart((route.identity, *route.envelope, data), zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == errno.EHOSTUNREACH:
                raise PeerGoneError from None
            raise
        return True

    def _try_again(self) -> None:
        self._retry = None
        now = monotonic()
        for peer, unsent in list(self._unsent.items()):
            try:
                while unsent.answers and self._send(*unsent.answers[0]):
                    _, data = unsent.answers.popleft()
                    unsent.size -= len(data)
                    unsent.since = now
            except PeerGoneError:
                unsent.answers.clear()
            if not unsent.answers:
                del self._unsent[peer]
            elif now - unsent.since > UNSENT_S:
                self._give_up(peer)
        if self._unsent:
            self._retry = self._loop.call_later(RETRY_S, self._try_again)

    def _give_up(self, peer: tuple[bytes, int]) -> None:
        unsent = self._unsent.pop(peer)
        self._warn("a control client does not read its answers; they are dropped", answers=len(unsent.answers))

    def _warn(self, text: str, **fields: object) -> None:
        not_logged = self._logs[text].admit(monotonic())
        if not_logged is not None:
            _logger.warning(text, extra={**fields, "not_logged": not_logged})

    def _look(self) -> None:
        inlet = _Inlet(self._router)
        received = Received(inlet, DRAIN_BUDGET)
        while True:
            try:
                parts = next(received, None)
            except zmq.ZMQError as error:
                self._warn("a control message could not be read", reason=str(error))
                continue
            if parts is None:
                break
            if 2 <= len(parts) <= MAX_PARTS:
                route = PeerRoute(parts[0], tuple(parts[1:-1]), inlet.connection)
                if route.is_named:
                    self._remember(route)
                self._on_message(route, parts[-1])
        if not received.is_all:
            self._lookout.again()
