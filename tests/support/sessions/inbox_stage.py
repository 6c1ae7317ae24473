"""The stage for an `Inbox` by itself: a shard, a session and a transport that only note what it does to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, cast

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.patience.cancellations import Cancellations
from wspulse.actors.sessions.transfer.halting import Aborting
from wspulse.actors.transport.state import TransportState
from wspulse.actors.values.close_code import CloseRow
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.metrics import Metrics

__all__ = ["Gate", "NotedSession", "NotedShard", "NotedTransport", "made", "made_for", "turn"]


class NotedShard:
    """One that takes notes. Frames are the text itself; `bad` does not decode."""

    keeps_kind = False
    wants_text = False

    def __init__(self, **handlers: Callable[..., Any]) -> None:
        self.handlers = Handlers(**handlers)
        self.metrics = Metrics()
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.aborting = False
        self.working: dict[Inbox, asyncio.Task[None]] = {}
        self.refusing: list[str] = []
        self.timers: list[asyncio.TimerHandle] = []
        self.cancellations = Cancellations(
            self.loop,
            self.context,
            self.loop.time,
            lambda when, call: self.timers.append(self.loop.call_at(when, call, when)),
            self.working,
            lambda _id, event: self.refusing.append(event),
        )
        self.raised: list[tuple[str, BaseException]] = []
        self.undecodables = 0
        self.dropped = 0
        self.answers_dropped = 0
        self.finished: list[Inbox] = []

    @property
    def halting(self) -> Aborting | None:
        return Aborting() if self.aborting else None

    def decode(self, data: bytes) -> Frame:
        if data == b"bad":
            raise ValueError("bad")
        return Frame("", data)

    def decode_refused(self, _data: bytes, error: Exception) -> Frame:
        raise error

    def spawn(self, inbox: Inbox, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work, context=inbox.context)
        if not task.done():
            self.working[inbox] = task

    def session_finished(self, inbox: Inbox) -> None:
        self.finished.append(inbox)

    def callback_raised(self, _connection: Connection, kind: str, error: BaseException) -> bool:
        self.raised.append((kind, error))
        return True

    def undecodable(self, _connection: Connection, _error: BaseException) -> None:
        self.undecodables += 1

    def answer_dropped(self, _connection: Connection) -> None:
        self.answers_dropped += 1

    def rest_dropped(self, _connection: Connection) -> None:
        self.dropped += 1


class NotedTransport:
    half_closed = False

    def __init__(self) -> None:
        self.state = TransportState.OPEN
        self.log: list[str] = []
        self.on_release: Callable[[], object] = lambda: None

    def hold(self) -> None:
        self.state = TransportState.HELD
        self.log.append("held")

    def release(self) -> None:
        self.state = TransportState.OPEN
        self.log.append("released")
        self.on_release()

    def read_on(self) -> None:
        """It does not move."""


class NotedSession:
    key = (1, 1)

    def __init__(self) -> None:
        self.transport: Any = NotedTransport()
        self.is_finished = False
        self.failed: list[tuple[BaseException, int]] = []

    def transport_failed(self, error: BaseException, close: CloseRow) -> None:
        self.failed.append((error, close.code))
        self.transport = None

    def finished(self) -> None:
        self.is_finished = True


def made_for(shard: NotedShard) -> tuple[Inbox, NotedSession]:
    """The inbox of one more session of a shard."""
    session = NotedSession()
    inbox = Inbox(cast("Any", shard), session)
    inbox.connection = cast("Connection", object())
    return inbox, session


def made(**handlers: Callable[..., Any]) -> tuple[Inbox, NotedShard, NotedSession]:
    shard = NotedShard(**handlers)
    inbox, session = made_for(shard)
    return inbox, shard, session


class Gate:
    """An async on_message that waits until it is opened."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.event = asyncio.Event()

    async def __call__(self, _connection: Connection, frame: Frame) -> None:
        self.begun.append(frame.payload)
        await self.event.wait()


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)
