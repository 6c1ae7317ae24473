"""`Client`: a WebSocket client for tests, which keeps what it receives, and shows it when something else was expected.

Made by a running server's `connect`. One task reads its socket from the upgrade to the end; everything else runs in the
test's own task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from msgspec import UNSET
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.testing.address import Address
from wspulse.actors.testing.reading import read
from wspulse.actors.values.codec import Codec
from wspulse.actors.values.errors import ReplyError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import shortened

__all__ = ["Client", "Closed"]

_DROP_WAIT_S = 2.0
"""How long a dropped client waits to see that the server has noticed; a server that has stopped reading may not."""

_SHOWN_FRAMES = 10


class Closed(NamedTuple):
    """How a connection ended. `code` is 1006 when no close frame came, 1005 when it had no code."""

    code: int
    reason: str


class Client:
    """A client of a server under test.

    Every wait has a deadline: the server's `timeout` (5 s by default) or the one that is passed. If what is expected does not
    arrive, the test fails with an AssertionError that shows what did.
    """

    def __init__(
        self,
        address: Address,
        codec: Codec,
        timeout_s: float,
        find_connection: Callable[[Any], Connection | None] | None = None,
    ) -> None:
        """`find_connection` knows the server's side of a socket by the client's address; None where that is another process."""
        self.received: list[Frame] = []
        """Every frame received, in order and across reconnects, with its payload decoded to plain values."""
        self._address = address
        self._codec = codec
        self._timeout_s = timeout_s
        self._find_connection = find_connection
        self._connection: Connection | None = None
        self._calls = count(1)
        self._untaken: deque[Frame] = deque()
        self._news = asyncio.Event()
        self._websocket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._dropping = False

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended the connection, as far as this client knows."""
        return self._reader is not None and not self._reader.done()

    @property
    def websocket(self) -> ClientConnection:
        """The `websockets` connection underneath, for what this class does not offer."""
        assert self._websocket is not None, "the client has never been connected"
        return self._websocket

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose."""
        return self.websocket.subprotocol

    # The server's side of it.

    @property
    def connection(self) -> Connection:
        """What the handlers of a `Server` under test see of this client: its `id`, `rooms`, `state`, `suspended`, `closed`.

        It is the one of the last upgrade, even after the client was dropped or has left. Raises RuntimeError for a server in
        other processes (ask that with `wspulse.Control(running.control)`), and if the session had ended before the client saw
        its 101.
        """
        if self._find_connection is None:
            raise RuntimeError(
                "wspulse: this server runs in other processes; ask it with wspulse.Control(running.control)"
            )
        if self._connection is None:
            raise RuntimeError("wspulse: the client has no session: it was never accepted, or ended at once")
        return self._connection

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms that the client is in, the first one first. Raises RuntimeError as `connection` does."""
        return self.connection.rooms

    # Sending.

    async def send(self, event: str, payload: Any = UNSET, *, id: str = "") -> None:  # noqa: A002
        """Send a frame. Raises what the codec raises; fails if the connection has ended."""
        data = self._codec.encode(Frame(event, payload, id))
        await self.send_raw(data.decode() if self._codec.binary is False and isinstance(data, bytes) else data)

    async def call(self, event: str, payload: Any = UNSET, *, timeout: float | None = None) -> Frame:
        """Send a frame with an id of its own and return the frame that answers it: the next one with that id.

        Raises ReplyError with its payload if its event is "error" or ends in ".error": the server's answer to a payload that
        does not match, or to a handler's `raise ReplyError(...)`. Fails as `expect` does.
        """
        __tracebackhide__ = True
        id = f"call-{next(self._calls)}"  # noqa: A001
        await self.send(event, payload, id=id)
        answer = await self._take(lambda frame: frame.id == id, f"the answer to {event!r}", timeout)
        if answer.event == "error" or answer.event.endswith(".error"):
            raise ReplyError(answer.payload)
        return answer

    async def reply(self, to: Frame, payload: Any = UNSET, *, error: bool = False) -> None:
        """Answer a frame, such as one sent by `connection.call`: with its id and event or, if `error`, with ".error" after the
        event."""
        await self.send(f"{to.event}.error" if error else to.event, payload, id=to.id)

    async def send_raw(self, message: str | bytes) -> None:
        """Send a message as it is: `str` as text, `bytes` as binary. Fails if the connection has ended."""
        __tracebackhide__ = True
        try:
            await self.websocket.send(message)
        except ConnectionClosed:
            raise AssertionError(f"cannot send: {self._story()}") from None

    # Receiving.

    async def expect(
        self,
        event: str,
        *,
        room: str | None = None,
        where: Callable[[Frame], object] | None = None,
        timeout: float | None = None,
    ) -> Frame:
        """The next frame of this event (that names this room, and for which `where(frame)` is true), once it has arrived.

        Frames of other events are kept for later calls, so a test need not rely on an order that is not promised; `received`
        has all frames in order. Fails after `timeout` seconds, or when the connection ends, and shows what was received
        instead.
        """
        __tracebackhide__ = True
        of_room = "" if room is None else f" in {room!r}"
        wanted = f"{event!r}{of_room}{' that matches' if where is not None else ''}"
        return await self._take(
            lambda frame: _is_of(frame, event, room) and (where is None or bool(where(frame))), wanted, timeout
        )

    async def next(self, *, timeout: float | None = None) -> Frame:
        """The next frame, of any event, that no call has returned yet. Fails as `expect` does."""
        __tracebackhide__ = True
        return await self._take(lambda frame: True, "a frame", timeout)

    async def expect_nothing(self, event: str | None = None, *, room: str | None = None, within: float = 0.1) -> None:
        """Fail if a frame (of this event, that names this room) arrives `within` so many seconds, or has arrived and was not
        taken.

        If there is something else to wait for, prefer that: each silence makes the test slower.
        """
        __tracebackhide__ = True
        try:
            frame = await self._find(lambda frame: _is_of(frame, event, room), within)
        except TimeoutError:
            return
        except EOFError:
            return  # then nothing can come
        raise AssertionError(f"expected nothing, but {_shown(frame)} arrived")

    def skip(self) -> list[Frame]:
        """Take everything that has arrived so far, so that what is expected next is newer; for streams of states."""
        skipped = list(self._untaken)
        self._untaken.clear()
        return skipped

    async def _take(self, fits: Callable[[Frame], bool], wanted: str, timeout: float | None) -> Frame:
        __tracebackhide__ = True
        timeout_s = self._timeout_s if timeout is None else timeout
        try:
            return await self._find(fits, timeout_s)
        except TimeoutError:
            problem = f"did not arrive within {timeout_s:g} s"
        except EOFError:
            problem = "can no longer arrive"
        raise AssertionError(f"{wanted} {problem}; {self._story()}")

    async def _find(self, fits: Callable[[Frame], bool], timeout_s: float) -> Frame:
        """Raises TimeoutError, and EOFError when the connection has ended."""
        async with asyncio.timeout(timeout_s):
            while True:
                for position, frame in enumerate(self._untaken):
                    if fits(frame):
                        del self._untaken[position]
                        return frame
                if not self.is_open:
                    raise EOFError
                self._news.clear()
                await self._news.wait()

    def _story(self) -> str:
        """What there is to say when something is missing."""
        if not self._untaken:
            story = "no other frame arrived" if self.received else "no frame arrived"
        else:
            shown = [_shown(frame) for frame in list(self._untaken)[:_SHOWN_FRAMES]]
            if len(self._untaken) > _SHOWN_FRAMES:
                shown.append(f"{len(self._untaken) - _SHOWN_FRAMES} more")
            story = f"received instead: {', '.join(shown)}"
        if not self.is_open and self._websocket is not None:
            end = self._end()
            story += f"; the connection ended with {end.code}{f' ({end.reason})' if end.reason else ''}"
        return story

    # The connection.

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection with a close frame, and wait for the server's. Does nothing if it has ended."""
        await self.websocket.close(code, reason)
        await self._read_to_end()

    async def drop(self) -> None:
        """Cut the socket without a close frame, as when the network fails. Does nothing if the connection has ended.

        Returns when the server has noticed (at most after 2 s); what it sends until then is lost.
        """
        if not self.is_open:
            return
        self._dropping = True
        transport = self.websocket.transport
        try:
            transport.resume_reading()
            transport.write_eof()
            async with asyncio.timeout(_DROP_WAIT_S):
                await self.websocket.wait_closed()
        except (TimeoutError, OSError, RuntimeError):
            pass  # it reads nothing now, or was faster than we
        await self.abort()

    async def abort(self) -> None:
        """Cut the socket at once, without waiting until the server has noticed; tests that go on use `drop`."""
        self.websocket.transport.abort()
        await self._read_to_end()

    async def reconnect(self, *, timeout: float | None = None) -> None:
        """Connect again, with the same URL and headers; a connection that is still open is dropped first.

        Raises UpgradeRefusedError, OSError, and TimeoutError after `timeout` seconds.
        """
        await self.drop()
        await self.open(timeout)

    async def closed(self, *, timeout: float | None = None) -> Closed:
        """Wait until the connection has ended, and return how. Fails after `timeout` seconds."""
        __tracebackhide__ = True
        timeout_s = self._timeout_s if timeout is None else timeout
        try:
            async with asyncio.timeout(timeout_s):
                await self.websocket.wait_closed()
                await self._read_to_end()
        except TimeoutError:
            raise AssertionError(f"after {timeout_s:g} s the connection is still open; {self._story()}") from None
        return self._end()

    def pause_reading(self) -> None:
        """Stop reading the socket, like a peer that does not keep up.

        The kernel's buffers swallow some megabytes before the server notices.
        """
        self.websocket.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read the socket again."""
        self.websocket.transport.resume_reading()

    async def open(self, timeout: float | None = None) -> None:
        """For `connect` and `reconnect`."""
        timeout_s = self._timeout_s if timeout is None else timeout
        async with asyncio.timeout(timeout_s):
            self._websocket = await self._address.dial()
            self._connection = self._find_connection and self._find_connection(self._websocket.local_address)
        self._dropping = False
        self._reader = asyncio.create_task(self._read(self._websocket))

    async def _read(self, websocket: ClientConnection) -> None:
        try:
            async for message in websocket:
                if not self._dropping:
                    frame = read(self._codec, message)
                    self.received.append(frame)
                    self._untaken.append(frame)
                    self._news.set()
        except ConnectionClosed:
            pass
        finally:
            self._news.set()

    async def _read_to_end(self) -> None:
        if self._reader is not None:
            await asyncio.wait([self._reader])

    def _end(self) -> Closed:
        code = self.websocket.close_code
        return Closed(1006 if code is None else code, self.websocket.close_reason or "")

    def __repr__(self) -> str:
        return f"<Client of {self._address.url}{'' if self.is_open else ', closed'}, {len(self.received)} received>"


def _is_of(frame: Frame, event: str | None, room: str | None) -> bool:
    return (event is None or frame.event == event) and (room is None or frame.room == room)


def _shown(frame: Frame) -> str:
    payload = "" if frame.payload is UNSET else f" {shortened(repr(frame.payload))}"
    room = f" in {shortened(frame.room)!r}" if frame.room else ""
    return f"{shortened(frame.event)!r}{payload}{room}"
