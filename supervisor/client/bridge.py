"""`Bridge`: a program's own side of the bridge: being the application of a server that runs with `--app bridge`.

Made by `AsyncControl.attach`, in the program. At the other end of its socket is the supervisor's desk (`control.bridge`), and
behind that the application `bridge` in each worker. It answers the server's questions and pings, hands out what happens to
the connections that are assigned to this program, and renews the credit as items are taken: a program that takes none pauses
its clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from wspulse.actors.values.awaitable import result_of
from wspulse.actors.values.errors import ConnectRejected, ControlError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.client.async_dealer import AsyncDealer
from wspulse.supervisor.protocol.address import Address
from wspulse.supervisor.protocol.refusals import refusal

__all__ = ["Bridge", "BridgeItem", "BridgeRequest"]

ATTACH = "attach"
"""The id of the request of that name; the questions' are numbers."""

_logger = logging.getLogger("wspulse.control")


class BridgeRequest(msgspec.Struct, frozen=True):
    """A client that wants to connect."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """By lower-case name."""
    remote: tuple[str, int] | None = None


class BridgeItem(msgspec.Struct, frozen=True):
    """Something that happened to a connection of this program."""

    op: str
    """"connected", "message", "disconnected", "dropped" or "restored"."""
    connection: str
    room: str
    frame: Frame | None = None
    """For "message"; the payload is decoded (JSON and msgpack), or the text or bytes received (raw)."""
    error: dict[str, str] | None = None
    """Why a connection ended or was dropped: `type` and `message`."""
    adopted: bool = False
    """For "connected": another program had this connection before."""


class _Args(msgspec.Struct):
    connection: str = ""
    room: str = ""
    frame: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    adopted: bool = False


class _Message(msgspec.Struct):
    op: str = ""
    id: int | str | None = None
    args: msgspec.Raw = msgspec.Raw(b"\x80")
    ok: bool | None = None
    error: dict[str, str] | None = None


class _Received(NamedTuple):
    epoch: int
    item: BridgeItem


class Bridge:
    """An asynchronous iterator of BridgeItems; `async with` attaches and detaches.

    `connect(request)` decides who may connect, as a server's does: it returns (room, connection id) or raises ConnectRejected;
    it may be async, and runs in a task of its own for each newcomer. The items of one connection come in order. When the
    server restarts, the bridge attaches again by itself; if that is refused, the iteration raises the ControlError after the
    items that had arrived, and the bridge is closed.
    """

    def __init__(
        self,
        address: Address,
        connect: Callable[[BridgeRequest], Any],
        *,
        window: int,
        heartbeat: float,
        start_timeout: float,
    ) -> None:
        self._address = address
        self._connect = connect
        self._window = window
        self._heartbeat_s = heartbeat
        self._start_timeout_s = start_timeout
        self._dealer: AsyncDealer | None = None
        self._items: deque[_Received] = deque()
        self._changed = asyncio.Event()
        self._attached = asyncio.Event()
        self._is_asked = False
        """Whether the server was asked to attach us, since the connection came up."""
        self._problem: ControlError | None = None
        self._epoch = 0
        self._raised_log = LogLimit()
        self._unread_log = LogLimit()
        self._credit = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ControlError("this bridge, or the control client that made it, is closed")
        self._dealer = AsyncDealer(
            self._address, on_message=self._take, on_writable=self._attach, on_away=self._went_away
        )
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._attached.wait()
        except TimeoutError:
            self.close()
            raise ControlError(f"no server at {self._address.endpoint} within {self._start_timeout_s:g} s") from None
        except BaseException:
            # Who waits no longer reads nothing: clients that were given to this program would be deaf.
            self.close()
            raise
        if self._problem is not None:
            self.close()
            raise self._problem
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._dealer is not None:
            self._send({"op": "detach", "id": "detach"})
            await asyncio.sleep(0.05)  # ZeroMQ's thread takes it from here
        self.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BridgeItem:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            if self._problem is not None:
                self.close()
                raise self._problem
            self._changed.clear()
            await self._changed.wait()
        received = self._items.popleft()
        if received.epoch == self._epoch:
            self._credit += 1
            if self._credit * 2 >= self._window:
                self._send({"op": "credit", "args": {"count": self._credit}})
                self._credit = 0
        return received.item

    def close(self) -> None:
        """End at once; idempotent. The server notices that this program is gone."""
        self._closed = True
        self._changed.set()
        for task in self._tasks:
            task.cancel()
        if self._dealer is not None:
            self._dealer.close()
            self._dealer = None

    def _attach(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            args = {"window": self._window, "heartbeat": self._heartbeat_s}
            self._is_asked = self._send({"op": ATTACH, "id": ATTACH, "args": args})

    def _went_away(self) -> None:
        self._is_asked = False
        if self._dealer is not None and (obstacle := self._dealer.obstacle) is not None:
            self._fail(ControlError(obstacle))

    def _fail(self, problem: ControlError) -> None:
        """It is not attached, and will not be."""
        self._problem = problem
        self._attached.set()
        self._changed.set()

    def _send(self, message: dict[str, Any]) -> bool:
        return self._dealer is not None and self._dealer.try_send((msgspec.msgpack.encode(message),))

    def _take(self, parts: list[bytes]) -> None:
        try:
            message = msgspec.msgpack.decode(parts[-1], type=_Message)
            match message.op:
                case "":
                    self._answered(message)
                case "ping":
                    self._send({"op": "pong"})
                case "connect":
                    task = asyncio.get_running_loop().create_task(self._decide(message))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                case _:
                    self._items.append(_Received(self._epoch, _item(message)))
                    self._changed.set()
        except (ValueError, RecursionError) as error:
            not_logged = self._unread_log.admit(monotonic())
            if not_logged is not None:
                extra = {"reason": str(error), "not_logged": not_logged}
                _logger.error("the server sent a message that is not understood", extra=extra)

    def _answered(self, message: _Message) -> None:
        if message.id != ATTACH:
            return
        if message.ok:
            self._epoch += 1
            self._credit = 0
        else:
            self._fail(refusal(message.error))
            return
        self._attached.set()

    async def _decide(self, message: _Message) -> None:
        try:
            request = msgspec.msgpack.decode(message.args, type=BridgeRequest)
            room, connection = await result_of(self._connect(request))
            answer = {"id": message.id, "ok": True, "result": {"room": room, "connection": connection}}
        except ConnectRejected as error:
            answer = {"id": message.id, "ok": False, "error": error.text or "refused"}
        except Exception as error:
            # Any client of the server may be able to cause it.
            not_logged = self._raised_log.admit(monotonic())
            if not_logged is not None:
                _logger.error("connect raised", exc_info=error, extra={"not_logged": not_logged})
            answer = {"id": message.id, "ok": False, "error": "internal error"}
        self._send(answer)


def _item(message: _Message) -> BridgeItem:
    args = msgspec.msgpack.decode(message.args, type=_Args)
    frame = None
    if args.frame is not None:
        fields = args.frame
        frame = Frame(fields.get("event", ""), fields.get("payload", msgspec.UNSET), fields.get("id", ""))
    return BridgeItem(message.op, args.connection, args.room, frame, args.error, args.adopted)
