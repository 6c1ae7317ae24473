"""`LineTransport`: one connection of a line, from its upgrade to its end: what reads it, writes it, and notices that it is dead.

Made by the line for each connection. It takes messages into the inbox as long as there is room, writes what the outbox has, and
acknowledges. It decides nothing about coming back.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from wspulse.actors.client.clock import Clock
from wspulse.actors.client.ending import BAD_PEER, LOST, Closed, End
from wspulse.actors.client.messages import Read, data_of, message_of
from wspulse.actors.client.session import RESERVED, BadPeerError, LineSession
from wspulse.actors.values.codec import Codec
from wspulse.actors.values.frame import Frame

__all__ = ["LineTransport", "Owner", "end_of"]

_ACK_S = 1.0
"""What was taken is acknowledged so soon at the latest; a question is answered so often at most."""

_ACK_SPACING_S = 0.2
"""In a flood acknowledgements keep this distance: each costs the server as much as twenty deliveries."""

_SILENT_TICKS = 10
"""Quarters of a period, of which a tick is one: the server says something in each period. Ticks and no times: a loop that stood
still sees one of them, and reads first what has come."""

_FLUSH_S = 10.0
"""For what is still to be sent when the line is closed. The answering close frame has 3 s more."""

_TOO_BIG = 1009


class Owner(Protocol):
    """What a transport needs of its line."""

    session: LineSession
    codec: Codec
    read: Read
    clock: Clock

    def has_room(self) -> bool:
        """Whether one more message may be taken."""

    def take(self, frame: Frame, size_bytes: int) -> None:
        """A frame has come, for whoever it is for."""

    def take_lost(self, count: int) -> None:
        """So many frames are missing here."""

    def has_sent(self) -> None:
        """There may be more room in the outbox."""

    def failed(self, kind: str, error: BaseException) -> None:
        """Something is to be told."""


class LineTransport:
    def __init__(self, owner: Owner, websocket: ClientConnection) -> None:
        self._owner = owner
        self._session = owner.session
        self._websocket = websocket
        self._clock = owner.clock
        self._closing: Closed | None = None
        self._wants_to_write = asyncio.Event()
        self._may_read = asyncio.Event()
        self._ack_timer: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._asked_at = float("-inf")
        self._must_ack = False
        self._told_at = float("-inf")
        self._is_heard = True
        self._is_reading = True
        self._ping: asyncio.Task[None] | None = None

    async def run(self) -> End:
        """Returns how it ended."""
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._watch())]
        try:
            return await self._read()
        finally:
            for timer in (self._ack_timer, self._flush_timer):
                if timer is not None:
                    timer.cancel()
            if self._ping is not None:
                tasks.append(self._ping)
            for task in tasks:
                task.cancel()
            # Nothing of it is looked at any more.
            self._websocket.transport.abort()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome
            await self._websocket.wait_closed()

    def wake(self) -> None:
        """There is something to write."""
        self._wants_to_write.set()

    def has_taken(self) -> None:
        """There is more room in the inbox."""
        self._may_read.set()

    def close(self, code: int, reason: str) -> None:
        """Send what is to be sent, and end it."""
        self._closing = Closed(code, reason)
        self._wants_to_write.set()
        self._may_read.set()
        self._flush_timer = self._clock.call_later(_FLUSH_S, self._websocket.transport.abort)

    # What comes.

    async def _read(self) -> End:
        try:
            while True:
                while not self._owner.has_room() and self._closing is None:
                    self._is_reading = False
                    self._may_read.clear()
                    await self._may_read.wait()
                self._is_reading = True
                message = await self._websocket.recv()
                self._is_heard = True
                if self._closing is None:
                    self._take(message)
        except ConnectionClosed as error:
            return end_of(error)
        except BadPeerError as error:
            reason = str(error)
            await self._websocket.close(BAD_PEER, reason)
            return End(BAD_PEER, reason)

    def _take(self, message: str | bytes) -> None:
        owner, session = self._owner, self._session
        data = data_of(owner.codec, message)
        size_bytes = len(data)
        try:
            frame = owner.read(data)
        except Exception as error:
            session.take(size_bytes)
            owner.failed("frame", error)
        else:
            if frame.event.startswith(RESERVED):
                if session.is_exact:
                    self._obey(frame)
                return
            session.take(size_bytes)
            owner.take(frame, size_bytes)
        self._acknowledge_in_time()

    def _obey(self, frame: Frame) -> None:
        """What the protocol itself says. What a later version of it may say is passed over."""
        session = self._session
        if frame.event == f"{RESERVED}ack":
            is_asked = session.acknowledged(frame)
            self._owner.has_sent()
            if is_asked and self._clock.now() - self._asked_at >= _ACK_S:
                self._asked_at = self._clock.now()
                self._acknowledge()
        elif frame.event == f"{RESERVED}lost":
            self._owner.take_lost(session.skip(frame))
            self._acknowledge_in_time()

    def _acknowledge_in_time(self) -> None:
        session = self._session
        if session.owes_much and self._clock.now() - self._told_at >= _ACK_SPACING_S:
            self._acknowledge()
        elif session.owes and self._ack_timer is None:
            self._ack_timer = self._clock.call_later(_ACK_S, self._acknowledge)

    def _acknowledge(self) -> None:
        self._must_ack = True
        self._wants_to_write.set()

    # What goes.

    async def _write(self) -> None:
        session, websocket = self._session, self._websocket
        try:
            while True:
                if self._must_ack:
                    self._must_ack = False
                    self._told_at = self._clock.now()
                    if self._ack_timer is not None:
                        self._ack_timer.cancel()
                        self._ack_timer = None
                    await websocket.send(message_of(self._owner.codec, session.acknowledgement()))
                elif outgoing := session.outbox.next():
                    # From here on it may arrive, whatever becomes of the rest of this.
                    await websocket.send(outgoing.message)
                    if not session.is_exact:
                        self._owner.has_sent()
                elif self._closing is not None:
                    if self._flush_timer is not None:
                        self._flush_timer.cancel()
                    await websocket.close(*self._closing)
                    return
                else:
                    self._wants_to_write.clear()
                    await self._wants_to_write.wait()
        except ConnectionClosed:
            pass  # whoever reads is told too
        except Exception:
            websocket.transport.abort()
            raise

    # Whether it lives.

    async def _watch(self) -> None:
        silent = 0
        while True:
            await self._clock.sleep(self._session.ping_s / 4)
            if self._is_heard or not self._is_reading:
                silent = 0
            else:
                silent += 1
            self._is_heard = False
            if silent >= _SILENT_TICKS:
                self._websocket.transport.abort()
                return
            if silent and not self._session.is_exact and (self._ping is None or self._ping.done()):
                self._ping = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        """A server that does not acknowledge answers pings."""
        try:
            await (await self._websocket.ping())
        except ConnectionClosed:
            return
        self._is_heard = True


def end_of(error: ConnectionClosed) -> End:
    received, sent = error.rcvd, error.sent
    if received is not None and (sent is None or error.rcvd_then_sent):
        return End(received.code, received.reason)
    if sent is not None and sent.code == _TOO_BIG:
        return End(_TOO_BIG, sent.reason)  # the same would come again
    return End(LOST, error=error.__cause__)
