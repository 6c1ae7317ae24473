"""A server's event socket without a server, and the client that is asked where it is."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import zmq

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.protocol.calls import Call
from wspulse.supervisor.protocol.types import ServerInfo


class EventSource:
    """As `Control` is for a stream: `call` answers pings, and publishes the probes that they ask for."""

    timeout = 5.0

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/events"
        self.calls = 0
        self.comes_back_at = 0
        """With which call, where it is away until then."""
        self.published_before_probes = ""
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._last: dict[str, int] = {}
        self.publisher: zmq.Socket[bytes] | None = None
        self.come()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go()

    def come(self) -> None:
        self._context = zmq.Context()
        self.publisher = self._context.socket(zmq.PUB)
        self.publisher.bind(self.endpoint)

    def go(self) -> None:
        """From now on calls fail at once. Its path is free when this returns, which a socket's close does not promise."""
        if self.publisher is not None and self._context is not None:
            self.publisher.close(0)
            self._context.term()
            self.publisher = self._context = None

    def call(self, call: Call[ServerInfo], timeout: float) -> ServerInfo:
        self.calls += 1
        if self.calls == self.comes_back_at:
            self.come()
        if self.publisher is None:
            raise ControlError("no server")
        if token := call.args.get("event"):
            if self.published_before_probes:
                self.publish(self.published_before_probes)
            self._publish(f"ping.{token}", 0)
        return ServerInfo("0", self.endpoint, 1)

    def publish(self, topic: str) -> int:
        """Returns the event's number."""
        number = max(self._last.values(), default=0) + 1
        self._publish(topic, number, self._last.get(topic, 0))
        self._last[topic] = number
        return number

    def _publish(self, topic: str, number: int, previous: int = 0) -> None:
        assert self.publisher is not None
        event = {"kind": topic.partition(".")[0], "seq": number, "prev": previous, "time": 0.0}
        self.publisher.send_multipart([topic.encode(), msgspec.msgpack.encode(event)])
