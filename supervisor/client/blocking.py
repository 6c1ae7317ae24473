"""`Control`: steering a running server from any program of the same machine (or, with keys, of another), blocking.

Used by applications' other processes (a web backend, a cron job, a shell). It talks to the server's supervisor over
ZeroMQ and starts nothing in this process but ZeroMQ's own thread.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import zmq

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.dealer import Dealer
from wspulse.supervisor.client.dealer_pool import DealerPool
from wspulse.supervisor.client.events import EventStream
from wspulse.supervisor.protocol.address import find_address
from wspulse.supervisor.protocol.calls import TIMEOUT_S, Call, FrameLike, answer_number, calls, read_answer
from wspulse.supervisor.protocol.received import Received
from wspulse.supervisor.protocol.types import (
    ClusterHost,
    ConnectionInfo,
    Listing,
    MeasurementInfo,
    MemberInfo,
    MovedInfo,
    RoomInfo,
    ScaledInfo,
    ServerInfo,
    ServerStats,
    ShardMovedInfo,
)

__all__ = ["Control"]

Result = TypeVar("Result")


class Control:
    """A client of a server's control socket; any number of threads may share it.

    `endpoint` is the one in the ready line. Without one it is that of the server on `port`; without a port either,
    the variable WSPULSE_CONTROL names the endpoint, or WSPULSE_PORT the port (default 8000). `server_key` and `client_key`
    are key files, for a server with CURVE. Every method waits at most `timeout` seconds (restart, reload and scale: 600)
    and raises ControlError, whose `error_code` is the server's, or "unavailable" when no server answers: then the request
    was not carried out, unless the server went away in the middle of it. What the server's own calls raise
    (ConnectionNotFoundError and the like) is raised here as that error too.
    The client reconnects by itself, even in the child of a fork. Nothing is sent before the first call.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        port: int | None = None,
        timeout: float = TIMEOUT_S,
        server_key: str | Path | None = None,
        client_key: str | Path | None = None,
    ) -> None:
        self._address = find_address(endpoint, port=port, server_key=server_key, client_key=client_key)
        self.timeout = timeout
        self._pool: DealerPool | None = None
        self._lock = threading.RLock()
        self._closed = False
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._number = 0

    @property
    def endpoint(self) -> str:
        return self._address.endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client; idempotent. Calls in progress in other threads fail."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        # First the calls: a stream that comes back to its server is in the middle of one.
        if pool is not None:
            pool.close()
        for stream in list(self._streams):
            stream.close()

    def ping(self) -> ServerInfo:
        """Version, number of workers, and where the events are."""
        return self._call(calls.ping())

    def send(self, connection: str, frame: FrameLike) -> None:
        """Queue a frame for one connection."""
        self._call(calls.send(connection, frame))

    def broadcast(self, room: str, frame: FrameLike, exclude: Iterable[str] = ()) -> None:
        """Queue a frame for every connection of a room except those whose ids are in `exclude`."""
        self._call(calls.broadcast(room, frame, exclude))

    def kick(self, connection: str, code: int = 1000, reason: str = "kicked") -> None:
        """End a session now; its client gets a close frame with `code` and `reason`, as from `Server.kick`."""
        self._call(calls.kick(connection, code, reason))

    def join(self, connection: str, room: str) -> None:
        """Make a connection join a room, as its own `join` does."""
        self._call(calls.join(connection, room))

    def leave(self, connection: str, room: str) -> None:
        """Make a connection leave a room, as its own `leave` does."""
        self._call(calls.leave(connection, room))

    def connections(self, room: str | None = None) -> Listing[ConnectionInfo]:
        """The connections of a room, or all of them; `missing_shards` of the list names the shards that did not answer."""
        return self._call(calls.connections(room))

    def presence(self, room: str) -> Listing[MemberInfo]:
        """Who is in a room, each with the application's `state`; `missing_shards` of the list names the shards that did not
        answer."""
        return self._call(calls.presence(room))

    def rooms(self) -> Listing[RoomInfo]:
        """The rooms that have connections; `missing_shards` of the list names the shards that did not answer."""
        return self._call(calls.rooms())

    def hosts(self, *, load: bool = False) -> list[ClusterHost]:
        """The hosts of the cluster that are alive, by id; without a cluster, this server alone. With `load`, each is asked what
        its workers have and have counted; one that does not answer within 2 s is "silent"."""
        return self._call(calls.hosts(load=load))

    def stats(self) -> ServerStats:
        """The server's counters. Answered even while workers do not answer."""
        return self._call(calls.stats())

    def metrics(self) -> list[MeasurementInfo]:
        """Every measurement of doc/reference/metrics.md with its samples. Answered even while workers do not answer."""
        return self._call(calls.metrics())

    def restart(self, shard: int, *, drain: bool = False) -> MovedInfo:
        """Replace a shard's worker. Its sessions move to the new one; with `drain` they are closed with 1012 instead. Returns
        when the old one has ended."""
        return self._call(calls.restart(shard, drain=drain))

    def reload(self, *, drain: bool = False) -> list[ShardMovedInfo]:
        """Replace every worker as `restart` does, one after another; joins a reload that is in progress. After an error
        the worker that it names keeps serving, and those replaced before it stay replaced."""
        return self._call(calls.reload(drain=drain))

    def scale(self, workers: int) -> ScaledInfo:
        """Change the number of workers; sessions that then belong to another worker move there."""
        return self._call(calls.scale(workers))

    def shutdown(self) -> None:
        """Shut the server down gracefully; returns when it begins to stop."""
        self._call(calls.shutdown())

    def events(self, *topics: str, timeout: float | None = None) -> EventStream:
        """The server's events, as an iterator; see EventStream. Without topics, all events."""
        stream = EventStream(self, self._address, topics, timeout)
        self._streams.add(stream)
        return stream

    def call(self, call: Call[Result], timeout: float | None = None) -> Result:
        """Carry out a `Call`."""
        return self._call(call, timeout)

    def _call(self, call: Call[Result], timeout: float | None = None) -> Result:
        timeout_s = timeout if timeout is not None else max(call.timeout_s or 0.0, self.timeout)
        with self._lock:
            if self._closed:
                raise ControlError("this control client is closed")
            if self._pool is None or self._pool.pid != os.getpid():
                self._pool = DealerPool(self._address)
            pool = self._pool
            self._number += 1
            number = self._number
        request = call.encode(number)
        try:
            with pool.dealer() as dealer:
                data = self._exchange(dealer, request, number, monotonic() + timeout_s, timeout_s)
        except zmq.ZMQError as error:
            if self._closed:
                raise ControlError("this control client is closed") from None
            raise ControlError(f"the control client failed: {error.strerror}") from None
        return read_answer(data, call)

    def _exchange(self, dealer: Dealer, request: bytes, number: int, deadline: float, timeout_s: float) -> bytes:
        poller = zmq.Poller()
        poller.register(dealer.socket, zmq.POLLOUT)
        poller.register(dealer.monitor, zmq.POLLIN)
        while True:
            dealer.went_away()
            if (obstacle := dealer.obstacle) is not None:
                raise ControlError(obstacle)
            # Asking makes ZeroMQ see a connection's end first: sending alone may put the request into one that has just ended.
            if dealer.is_writable:
                with suppress(zmq.Again):
                    dealer.socket.send(request, zmq.NOBLOCK)
                    break
            left_ms = max(0, int((deadline - monotonic()) * 1000))
            if not poller.poll(left_ms):
                raise ControlError(f"no server at {self.endpoint} within {timeout_s:g} s")
        poller.modify(dealer.socket, zmq.POLLIN)
        while True:
            left_ms = max(0, int((deadline - monotonic()) * 1000))
            if not poller.poll(left_ms):
                raise ControlError(f"the server at {self.endpoint} did not answer within {timeout_s:g} s")
            # First what has come: a server's last answers stand before its end.
            for parts in Received(dealer.socket):
                if answer_number(parts[-1]) == number:
                    return parts[-1]
            if dealer.went_away():
                raise ControlError(f"the server at {self.endpoint} went away before it answered")
