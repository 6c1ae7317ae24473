"""A control client that knows nothing of wspulse: pyzmq and json, as a program in any language would do it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

__all__ = ["Peer", "peer"]

TIMEOUT_S = 20.0


class Peer:
    """A DEALER. Made by `peer`."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, kind: int = zmq.DEALER) -> None:
        self.context = context
        self.socket = context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(endpoint)
        self._number = 0
        self.items: list[Any] = []
        """What a bridge said while an answer was awaited."""

    def send(self, op: str, **args: Any) -> int:
        """Send a request and return its id."""
        self._number += 1
        self.socket.send(json.dumps({"id": self._number, "op": op, "args": args}).encode())
        return self._number

    def raw(self, data: bytes) -> None:
        self.socket.send(data)

    def receive(self, timeout_s: float = TIMEOUT_S) -> Any:
        """The next message. AssertionError when there is none in time."""
        return json.loads(self.receive_bytes(timeout_s))

    def receive_bytes(self, timeout_s: float = TIMEOUT_S) -> bytes:
        assert self.socket.poll(int(timeout_s * 1000)), f"no answer within {timeout_s:g} s"
        return self.socket.recv_multipart()[-1]

    def ask(self, op: str, **args: Any) -> Any:
        """The whole answer to a request; nothing else may be under way."""
        number = self.send(op, **args)
        answer = self.receive()
        while "op" in answer:
            self.items.append(answer)
            answer = self.receive()
        assert answer["id"] == number, answer
        return answer

    def result(self, op: str, **args: Any) -> Any:
        answer = self.ask(op, **args)
        assert answer["ok"] is True, answer
        return answer["result"]

    def error(self, op: str, **args: Any) -> str:
        """The code of the error that a request is answered with."""
        answer = self.ask(op, **args)
        assert answer["ok"] is False, answer
        assert answer["error"]["message"].startswith("wspulse: ")
        return str(answer["error"]["code"])


@contextmanager
def peer(endpoint: str | None, kind: int = zmq.DEALER) -> Iterator[Peer]:
    assert endpoint is not None
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield Peer(context, endpoint, kind)
    finally:
        context.destroy(linger=0)
