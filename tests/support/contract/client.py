"""A client that keeps what came, and gives orders to the contract's application."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

__all__ = ["DEADLINE_S", "Client", "numbers"]

DEADLINE_S = 10.0
"""For anything that should happen at once, on a machine that is busy with something else."""


numbers = itertools.count(1)
"""For ids that nobody else has."""


class Client:
    """A WebSocket client that keeps what came, and gives orders to the application."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, code: int = 1000) -> None:
        await self.socket.close(code)

    def drop(self) -> None:
        """Cut the socket, without a close frame."""
        self.socket.transport.abort()

    async def send(self, event: str, payload: Any = None, number: str = "") -> None:
        await self.socket.send(json.dumps({"event": event, "payload": payload, "id": number}))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
            return frame

    async def expect(self, event: str) -> Any:
        """The payload of the next frame, which must have this event."""
        frame = await self.receive()
        assert frame.get("event") == event, f"expected {event!r}, got {frame!r}"
        return frame.get("payload")

    async def order(self, op: str, **arguments: Any) -> Any:
        """Have the application do something in this client's worker, and return its result.

        Frames that come before the answer are passed over.
        """
        number = await self.order_only(op, **arguments)
        return await self.answer(number)

    async def order_only(self, op: str, **arguments: Any) -> str:
        number = str(next(numbers))
        await self.send("do", {"op": op, **arguments}, number)
        return number

    async def answer(self, number: str) -> Any:
        async with asyncio.timeout(4 * DEADLINE_S):
            while True:
                frame = json.loads(await self.socket.recv())
                if frame.get("event") == "done" and frame.get("id") == number:
                    return frame.get("payload")

    async def closed(self) -> tuple[int, str]:
        """Wait for the end of the socket, and return the code and reason of its close frame (1006: there was none)."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self.socket.recv()
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd is not None else (1006, "")
