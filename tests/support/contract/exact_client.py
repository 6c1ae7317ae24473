"""A client of an exact session (`wspulse.1`), as doc/reference/protocol.md describes it, whose every step the test takes
itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.contract.client import DEADLINE_S

__all__ = ["ExactClient"]


class ExactClient:
    """It counts what comes, keeps what is not acknowledged, and sends that again when it is back; it acknowledges when it is told
    to. `first` is the payload of the first frame of the line."""

    def __init__(self, url: str | Callable[[], str]) -> None:
        """It asks where to dial each time where that is a call."""
        self.url = url
        self.compression: str | None = None
        """What its next line offers."""
        self.options: dict[str, Any] = {}
        """Of its next line's connection, for `connect`."""
        self.token = ""
        self.received = 0
        self.sent = 0
        self.acknowledged = 0
        self.unacknowledged: list[str] = []
        self.first: dict[str, Any] = {}
        self.acks: list[int] = []
        """What the server has acknowledged on this line."""
        self.lost: list[int] = []
        """What the server has said that was lost, on this line."""
        self.socket: ClientConnection

    async def __aenter__(self) -> Self:
        await self.dial()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def open(self, *, claim: str | None = None) -> None:
        """Dial, and read nothing. `claim` instead of its own token and count; "" for none."""
        if claim is None:
            claim = f"wspulse.resume.{self.token}.{self.received}" if self.token else ""
        offers = ["wspulse.1", *([claim] if claim else [])]
        self.socket = await connect(
            self.url if isinstance(self.url, str) else self.url(),
            subprotocols=[Subprotocol(name) for name in offers],
            ping_interval=None,
            max_queue=None,
            open_timeout=DEADLINE_S,
            compression=self.compression,
            proxy=None,
            **self.options,
        )
        assert self.socket.subprotocol == "wspulse.1"
        self.acks, self.lost = [], []

    async def dial(self, *, claim: str | None = None) -> dict[str, Any]:
        """Dial, read the first frame, and send again what the server has not taken."""
        await self.open(claim=claim)
        async with asyncio.timeout(DEADLINE_S):
            frame = json.loads(await self.socket.recv())
        assert frame["event"] == "wspulse.session", frame
        first: dict[str, Any] = frame["payload"]
        self.first = first
        self.token = first["token"]
        if first["recovered"]:
            self.received += first["lost"]
            self._take_ack(first["received"])
            for message in self.unacknowledged:
                await self.socket.send(message)
        else:
            assert first["lost"] == first["received"] == 0
            self.received = self.sent = self.acknowledged = 0
            self.unacknowledged.clear()
        return first

    def drop(self) -> None:
        """Cut the socket, without a close frame. Nothing more of it is looked at."""
        self.socket.transport.abort()

    async def send(self, event: str, payload: Any = None, number: str = "") -> None:
        await self.send_raw(json.dumps({"event": event, "payload": payload, "id": number}))

    async def send_raw(self, message: str) -> None:
        """Send a message that counts; a line that is dead has it sent when the client is back."""
        self.sent += 1
        self.unacknowledged.append(message)
        try:
            await self.socket.send(message)
        except ConnectionClosed:
            pass

    async def acknowledge(self, count: object = None) -> None:
        """Tell what came; or anything else."""
        await self.socket.send(
            json.dumps({"event": "wspulse.ack", "payload": self.received if count is None else count})
        )

    async def receive(self) -> dict[str, Any]:
        """The next frame of the application."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                match frame.get("event"):
                    case "wspulse.ack":
                        self._take_ack(frame["payload"])
                    case "wspulse.lost":
                        self.lost.append(frame["payload"])
                        self.received += frame["payload"]
                    case _:
                        self.received += 1
                        return frame

    async def expect(self, event: str) -> Any:
        frame = await self.receive()
        assert frame.get("event") == event, f"expected {event!r}, got {frame!r}"
        return frame.get("payload")

    async def acked(self, count: int) -> None:
        """Wait until the server has acknowledged so many; frames that come before it are lost to the test."""
        async with asyncio.timeout(DEADLINE_S):
            while self.acknowledged < count:
                frame = json.loads(await self.socket.recv())
                if frame.get("event") == "wspulse.ack":
                    self._take_ack(frame["payload"])
                else:
                    self.received += 1

    async def closed(self) -> tuple[int, str]:
        """Wait for the end of the socket, and return the code and reason of its close frame (1006: there was none)."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self.receive()
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd is not None else (1006, "")

    def _take_ack(self, count: int) -> None:
        assert self.acknowledged <= count <= self.sent, (self.acknowledged, count, self.sent)
        del self.unacknowledged[: count - self.acknowledged]
        self.acknowledged = count
        self.acks.append(count)
