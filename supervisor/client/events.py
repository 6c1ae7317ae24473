"""Streams of events: `EventStream` for `Control`, and the machine that reads events and sees what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Protocol, Self
from uuid import uuid4

import msgspec
import zmq

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.dealer import Dealer
from wspulse.supervisor.protocol.address import Address, events_endpoint
from wspulse.supervisor.protocol.calls import Call, calls
from wspulse.supervisor.protocol.types import Event, ServerInfo

__all__ = ["EventReader", "EventStream", "probe_topic"]

PROBE_S = 0.05
"""Between two probes of a new subscription."""

AWAY_S = 0.5
"""Between two looks for a server that is away."""

RECEIVE_HIGH_WATER_EVENTS = 100_000
KNOWN_TOPICS = 100_000

_decode = msgspec.msgpack.Decoder(Event).decode


def probe_topic() -> tuple[bytes, str]:
    """A topic of one's own, and the token that makes the server publish on it."""
    token = uuid4().hex
    return f"ping.{token}".encode(), token


class EventReader:
    """Makes events of what the socket receives. No I/O."""

    def __init__(self) -> None:
        self._last: dict[bytes, int] = {}
        self._interrupted = False

    def interrupted(self) -> None:
        """The stream was cut: the next event follows on nothing."""
        self._interrupted = True
        self._last.clear()

    def read(self, parts: list[bytes]) -> Event | None:
        """None for what is no event."""
        if len(parts) != 2:
            return None
        try:
            event = _decode(parts[1])
        except (ValueError, RecursionError):
            return None
        topic = parts[0]
        last = self._last.get(topic)
        event.missed = self._interrupted or (last is not None and event.prev != last)
        self._interrupted = False
        if len(self._last) >= KNOWN_TOPICS:
            self._last.clear()
        self._last[topic] = event.seq
        return event


class Caller(Protocol):
    """What a stream needs of the client that made it."""

    @property
    def timeout(self) -> float:
        """Seconds that its calls take at most."""

    def call(self, call: Call[ServerInfo], timeout: float) -> ServerInfo:
        """Ask the server, which is where the events are found, and what makes it publish a probe."""


class EventStream:
    """An iterator of events whose topics (`<kind>.<room>`, `worker.<what>`) begin with one of `topics`.

    When it is made, the subscription is active: what happens from then on is seen, unless this program reads too slowly
    (then `event.missed` says so). With a `timeout` it ends when nothing came for so long. It reconnects by itself when the
    server restarts; `missed` is True for the first event after that. One thread may use it. Raises ControlError when there
    is no server at the start.
    """

    def __init__(self, control: Caller, address: Address, topics: Iterable[str], timeout: float | None) -> None:
        self._control = control
        self._address = address
        self._topics = [topic.encode() for topic in topics] or [b""]
        self._timeout = timeout
        self._pid = os.getpid()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._reader = EventReader()
        self._early: list[Event] = []
        self._dealer: Dealer | None = None
        self._closed = False
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
        deadline = None if self._timeout is None else monotonic() + self._timeout
        while not self._closed:
            if self._early:
                return self._early.pop(0)
            if self._dealer is None:
                self._come_back(deadline)
            else:
                event = self._receive(self._dealer, deadline)
                if event is not None:
                    return event
            if deadline is not None and monotonic() >= deadline:
                break
        raise StopIteration

    def close(self) -> None:
        """End; idempotent."""
        if not self._closed and os.getpid() == self._pid:
            self._closed = True
            if self._dealer is not None:
                self._dealer.close()
                self._dealer = None
            self._context.destroy(linger=0)

    def _receive(self, dealer: Dealer, deadline: float | None) -> Event | None:
        poller = zmq.Poller()
        poller.register(dealer.socket, zmq.POLLIN)
        poller.register(dealer.monitor, zmq.POLLIN)
        left_ms = 1000 if deadline is None else max(0, int((deadline - monotonic()) * 1000))
        poller.poll(min(left_ms, 1000))
        try:
            event = self._reader.read(dealer.socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            if dealer.went_away():
                dealer.close()
                self._dealer = None
                self._reader.interrupted()
            return None
        return None if event is not None and event.kind == "ping" else event

    def _come_back(self, deadline: float | None) -> None:
        try:
            self._subscribe(AWAY_S if deadline is None else min(AWAY_S, max(0.0, deadline - monotonic())))
        except ControlError:
            pass

    def _subscribe(self, timeout_s: float) -> None:
        """Connect, and return when the subscription is known to be active: a probe on a topic of our own comes back."""
        deadline = monotonic() + timeout_s
        probe, token = probe_topic()
        info = self._control.call(calls.ping(), timeout_s)
        address = self._address._replace(endpoint=events_endpoint(info.events, self._address.endpoint))
        dealer = Dealer(self._context, address, zmq.SUB)
        try:
            dealer.socket.setsockopt(zmq.RCVHWM, RECEIVE_HIGH_WATER_EVENTS)
            for topic in (*self._topics, probe):
                dealer.socket.setsockopt(zmq.SUBSCRIBE, topic)
            while True:
                self._control.call(calls.ping(token), max(0.1, deadline - monotonic()))
                if dealer.socket.poll(int(PROBE_S * 1000)) and self._probe_came(dealer, probe):
                    break
                if monotonic() > deadline:
                    raise ControlError(f"no events from {address.endpoint} within {timeout_s:g} s")
            dealer.socket.setsockopt(zmq.UNSUBSCRIBE, probe)
        except BaseException:
            dealer.close()
            raise
        self._dealer = dealer

    def _probe_came(self, dealer: Dealer, probe: bytes) -> bool:
        while True:
            try:
                parts = dealer.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            if parts[0] == probe:
                return True
            event = self._reader.read(parts)
            if event is not None and event.kind != "ping":
                self._early.append(event)
