"""`Publisher`: messages on their way into the streams, each published again with the same id until it is acknowledged.

NATS drops what it has under an id, so that again is not twice. One reply subject serves all, and one task looks after those that
are not acknowledged: a request of nats-py has a timer and a future of its own, which costs half as much again as the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import NamedTuple

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from wspulse.supervisor.cluster.asking import end, start
from wspulse.supervisor.cluster.feed.inlet import Inlet
from wspulse.supervisor.cluster.feed.streams import APIError

__all__ = ["Ack", "Doubt", "PublishError", "Publisher"]

_LOOK_S = 0.1
_UNANSWERED_S = 1.0
"""Then it is published again: an election takes longer, and nothing tells when it is over."""
_UNWRITTEN_BYTES = 8 * 1024 * 1024
"""Half of what `connection` has nats-py take before a publisher is stopped."""
_TOO_LARGE = 10054


class PublishError(Exception):
    """A message was not acknowledged by its deadline, or never can be. `is_doubtful`: it may have been stored all the same."""

    def __init__(self, reason: str, *, is_doubtful: bool = False) -> None:
        super().__init__(reason)
        self.is_doubtful = is_doubtful


class Doubt(NamedTuple):
    """Of a message that may have been stored: when it was first published (monotonic), and the highest sequence of its partition
    that was known then."""

    since: float
    known: int


class Ack(msgspec.Struct):
    """What JetStream answers."""

    seq: int = 0
    duplicate: bool = False
    """It was stored before, under the same id."""
    error: APIError | None = None


_ack = msgspec.json.Decoder(Ack)


class _Outgoing:
    """A message that is not acknowledged."""

    __slots__ = ("acknowledged", "again_at", "data", "deadline", "headers", "reason", "reply", "subject", "unanswered")

    def __init__(self, subject: str, reply: str, data: bytes, headers: dict[str, str], deadline: float) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self.headers = headers
        self.deadline = deadline
        self.again_at = 0.0
        self.reason = "NATS is not connected"
        self.unanswered = 0
        """How often it was sent without an answer: each of these may have stored it."""
        self.acknowledged: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()


class Publisher:
    """See the module."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._number = 0
        self._outgoing: dict[str, _Outgoing] = {}
        self._task: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", future=Inlet(self._answered))

    async def close(self) -> None:
        """What is not acknowledged fails with PublishError."""
        for outgoing in self._outgoing.values():
            _fail(outgoing, "the feed was closed")
        await end(self._task)
        if self._subscription is not None:
            with contextlib.suppress(nats.errors.Error):
                await self._subscription.unsubscribe()
            self._subscription = None

    async def publish(self, subject: str, data: bytes, headers: dict[str, str], deadline: float) -> Ack:
        """Raises PublishError."""
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        outgoing = self._outgoing[reply] = _Outgoing(subject, reply, data, headers, deadline)
        try:
            if self._task is None:
                self._task = start(self._look_after())
            await self._send(outgoing)
            return await outgoing.acknowledged
        finally:
            del self._outgoing[reply]

    def reconnected(self) -> None:
        """What was on its way may be lost: publish all again at the next look."""
        for outgoing in self._outgoing.values():
            outgoing.again_at = 0.0

    async def _send(self, outgoing: _Outgoing) -> None:
        # nats-py would keep it, or wait until there is room, without a deadline.
        if not self._client.is_connected:
            outgoing.reason = "NATS is not connected"
            return
        if self._client.pending_data_size > _UNWRITTEN_BYTES:
            outgoing.reason = "NATS reads too slowly"
            return
        outgoing.reason = "no stream has acknowledged it"
        outgoing.again_at = time.monotonic() + _UNANSWERED_S
        outgoing.unanswered += 1
        try:
            await self._client.publish(outgoing.subject, outgoing.data, outgoing.reply, outgoing.headers)
        except nats.errors.MaxPayloadError:
            _fail(outgoing, f"NATS takes {self._client.max_payload} bytes at most")
        except nats.errors.Error as error:
            outgoing.reason = str(error)

    async def _look_after(self) -> None:
        """Until there is nothing to look after."""
        try:
            while self._outgoing:
                await asyncio.sleep(_LOOK_S)
                now = time.monotonic()
                for outgoing in list(self._outgoing.values()):
                    if outgoing.acknowledged.done():
                        continue
                    if now >= outgoing.deadline:
                        _fail(outgoing, outgoing.reason)
                    elif now >= outgoing.again_at:
                        await self._send(outgoing)
        finally:
            self._task = None

    def _answered(self, message: Msg) -> None:
        outgoing = self._outgoing.get(message.subject)
        if outgoing is None or outgoing.acknowledged.done():
            return
        if not message.data:
            outgoing.reason, outgoing.again_at = "no stream takes it", 0.0  # "no responders"
            outgoing.unanswered -= 1
            return
        ack = _ack.decode(message.data)
        if ack.error is None:
            outgoing.acknowledged.set_result(ack)
        elif ack.error.err_code == _TOO_LARGE:
            _fail(outgoing, ack.error.description)
        else:
            outgoing.reason, outgoing.again_at = ack.error.description, 0.0
            outgoing.unanswered -= 1


def _fail(outgoing: _Outgoing, reason: str) -> None:
    if not outgoing.acknowledged.done():
        outgoing.acknowledged.set_exception(PublishError(reason, is_doubtful=outgoing.unanswered > 0))
