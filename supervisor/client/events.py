"""`EventStream`: the events of a server for one thread, blocking.

Made by `Control`. It connects, waits and comes back; what has come and what is missing, its `Subscription` knows.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Protocol, Self
from uuid import uuid4

import zmq

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.dealer import Dealer, end_context
from wspulse.supervisor.client.subscription import (
    AWAY_S,
    PROBE_S,
    RECEIVE_HIGH_WATER_EVENTS,
    Subscription,
    no_events_error,
)
from wspulse.supervisor.protocol.address import Address, events_endpoint
from wspulse.supervisor.protocol.calls import Call, calls
from wspulse.supervisor.protocol.received import Received
from wspulse.supervisor.protocol.types import Event, ServerInfo

__all__ = ["EventStream"]


class Caller(Protocol):
    """What a stream needs of the client that made it."""

    @property
    def timeout(self) -> float:
        """Seconds that its calls take at most."""

    def call(self, call: Call[ServerInfo], timeout: float) -> ServerInfo:
        """Ask the server, which is where the events are found, and what makes it publish a probe."""


class EventStream:
    """An iterator of events whose topics (`<kind>.<room>`, `worker.<what>`) begin with one of `topics`.

    The subscription is active as soon as the stream exists: every later event is seen, unless this program reads too slowly
    (then `event.missed` says so). With a `timeout` in seconds the iteration ends when no event came for that long. The stream
    reconnects by itself when the server restarts; `missed` is True for the first event after that. Only one thread may use it.
    Raises ControlError if there is no server at the start.
    """

    def __init__(self, control: Caller, address: Address, topics: Iterable[str], timeout: float | None) -> None:
        self._control = control
        self._address = address
        self._timeout = timeout
        self._pid = os.getpid()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._subscription = Subscription(topics)
        self._dealer: Dealer | None = None
        self._closed = threading.Event()
        self._lock = threading.RLock()
        """Reentrant for a signal's handler, which may close in the middle of what its thread does here."""
        self._reading: int | None = None
        """The thread that is in the middle of `next`: the sockets are its own until it comes out."""
        self._is_woken = False
        """Whether `close` ends the context, which wakes it."""
        try:
            self._subscribe(control.timeout)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            with self._lock:
                if self._closed.is_set():
                    raise StopIteration
                self._reading = threading.get_ident()
            event = self._wait(None if self._timeout is None else monotonic() + self._timeout)
        except zmq.ZMQError:
            if not self._closed.is_set():
                raise
            event = None
        finally:
            with self._lock:
                self._reading = None
                if self._closed.is_set():
                    self._let_go()
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """Close the stream; idempotent. A thread that waits for an event is woken, and its iteration ends."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            if self._reading is None:
                self._let_go()
            else:
                self._is_woken = True
            is_used_here = self._reading == threading.get_ident()
        if self._is_woken:
            end_context(self._context, is_used_here=is_used_here)

    def _let_go(self) -> None:
        if self._dealer is not None:
            self._dealer.close()
            self._dealer = None
        if not self._is_woken:
            self._context.destroy(linger=0)

    def _wait(self, deadline: float | None) -> Event | None:
        """The next event. None when the deadline has passed, or it was closed."""
        while not self._closed.is_set():
            if (event := self._subscription.next_event()) is not None:
                return event
            if self._dealer is None:
                self._come_back(deadline)
            else:
                self._receive(self._dealer, deadline)
                if (event := self._subscription.next_event()) is not None:
                    return event
            if deadline is not None and monotonic() >= deadline:
                break
        return None

    def _receive(self, dealer: Dealer, deadline: float | None) -> None:
        poller = zmq.Poller()
        poller.register(dealer.socket, zmq.POLLIN)
        poller.register(dealer.monitor, zmq.POLLIN)
        left_ms = 1000 if deadline is None else max(0, int((deadline - monotonic()) * 1000))
        poller.poll(min(left_ms, 1000))
        for parts in Received(dealer.socket, 1):
            self._subscription.take(parts)
            return
        if dealer.went_away():
            dealer.close()
            self._dealer = None

    def _come_back(self, deadline: float | None) -> None:
        left_s = AWAY_S if deadline is None else min(AWAY_S, max(0.0, deadline - monotonic()))
        try:
            self._subscribe(left_s)
        except ControlError:
            # It may have failed at once.
            self._closed.wait(min(PROBE_S, left_s))

    def _subscribe(self, timeout_s: float) -> None:
        """Connect, and return when the subscription is known to be active: its probe has come back."""
        deadline = monotonic() + timeout_s
        token = uuid4().hex
        info = self._control.call(calls.ping(), timeout_s)
        address = self._address._replace(endpoint=events_endpoint(info.events, self._address.endpoint))
        subscription = self._subscription
        subscription.begin(token)
        with self._lock:
            if self._closed.is_set():
                raise zmq.ContextTerminated  # or about to be
            dealer = Dealer(self._context, address, zmq.SUB)
        try:
            dealer.socket.setsockopt(zmq.RCVHWM, RECEIVE_HIGH_WATER_EVENTS)
            for topic in (*subscription.topics, subscription.probe):
                dealer.socket.setsockopt(zmq.SUBSCRIBE, topic)
            while True:
                self._control.call(calls.ping(token), max(0.1, deadline - monotonic()))
                dealer.socket.poll(int(PROBE_S * 1000))
                if self._is_active_by(dealer):
                    break
                if monotonic() > deadline:
                    raise no_events_error(address.endpoint, timeout_s)
            dealer.socket.setsockopt(zmq.UNSUBSCRIBE, subscription.probe)
        except BaseException:
            dealer.close()
            raise
        self._dealer = dealer

    def _is_active_by(self, dealer: Dealer) -> bool:
        """Take what has come, up to the probe: what follows is left for `next`, one at a time."""
        for parts in Received(dealer.socket):
            self._subscription.take(parts)
            if self._subscription.is_active:
                return True
        return False
