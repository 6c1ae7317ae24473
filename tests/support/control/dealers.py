"""Control clients inside the test's own loop: bare DEALERs, which say whatever bytes the test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from tests.support.eventually import eventually

__all__ = ["Context", "Dealer", "Dealers", "dealers"]

Context = zmq.Context["zmq.Socket[bytes]"]


class Dealer:
    """One peer, not connected yet. `receive_most`: how many messages ZeroMQ keeps for it while it does not read, 0 for any
    number."""

    def __init__(self, context: Context, *, kind: int = zmq.DEALER, receive_most: int = 0) -> None:
        self.socket = context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, receive_most)
        self._number = 0

    def request(self, op: str, **args: Any) -> int:
        """Send a request in JSON. Returns its id."""
        self._number += 1
        self.socket.send(json.dumps({"id": self._number, "op": op, "args": args}).encode())
        return self._number

    async def parts(self) -> list[bytes]:
        await eventually(lambda: self.socket.poll(0), "there is an answer")
        return self.socket.recv_multipart()

    async def answer(self) -> Any:
        return json.loads((await self.parts())[-1])

    async def ask(self, op: str, **args: Any) -> Any:
        """The answer to a request; nothing else may be under way."""
        number = self.request(op, **args)
        answer = await self.answer()
        assert answer["id"] == number, answer
        return answer

    async def error(self, op: str, **args: Any) -> tuple[str, str]:
        """Code and message of the error that a request is answered with."""
        answer = await self.ask(op, **args)
        assert answer["ok"] is False, answer
        return answer["error"]["code"], answer["error"]["message"]


class Dealers:
    """The peers of one test, and the context that they are in. Made by `dealers`."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._made: list[Dealer] = []

    def prepared(self, *, kind: int = zmq.DEALER, receive_most: int = 0) -> Dealer:
        """One to be connected by the test."""
        self._made.append(Dealer(self.context, kind=kind, receive_most=receive_most))
        return self._made[-1]

    def dial(self, endpoint: str, *, kind: int = zmq.DEALER, receive_most: int = 0, identity: bytes = b"") -> Dealer:
        """One that is connected. `identity`: what it calls itself."""
        dealer = self.prepared(kind=kind, receive_most=receive_most)
        if identity:
            dealer.socket.setsockopt(zmq.IDENTITY, identity)
        dealer.socket.connect(endpoint)
        return dealer

    def close(self) -> None:
        for dealer in self._made:
            dealer.socket.close()
        self.context.destroy(linger=0)


@contextmanager
def dealers() -> Iterator[Dealers]:
    """Whatever was opened in their context is closed on the way out."""
    made = Dealers(zmq.Context())
    try:
        yield made
    finally:
        made.close()
