"""`Way`: the source's end of the stream to one target: what is said there, and the answers.

Made by a `Departure`. One question is under way at a time. The end of the stream, whoever caused it, is a `WayBrokenError` for
whoever waits, and for whoever asks afterwards; the target has forgotten then what was not committed.
"""

from __future__ import annotations

import asyncio
import socket
from time import monotonic
from typing import TypeVar

from wspulse.actors.mesh.message import Envelope, Hello
from wspulse.actors.mesh.placing.moves import MoveAnswer, MoveBegins, MoveEnds, MoveEnvelope, MoveReady, MoveRefused
from wspulse.actors.mesh.stream import Stream

__all__ = ["MoveFailedError", "Way", "WayBrokenError", "WaySilentError"]

A = TypeVar("A", bound=MoveAnswer)

_LOOK_S = 0.002
_FLUSHED_S = 10.0
"""How long a target may read nothing before what was committed to it is given up: the supervisor ends a process that is stuck."""


class WayBrokenError(Exception):
    """The target is gone, or says nothing in time, or takes no sessions of ours."""


class WaySilentError(WayBrokenError):
    """The target says nothing in time. It may only be slow."""


class MoveFailedError(Exception):
    """The plan is over; what is left stays in the source."""


class Way:
    """See the module. Connects at once; raises WayBrokenError where nobody listens at `path`."""

    def __init__(self, seat: int, path: str) -> None:
        self.seat = seat
        self.codec = ""
        """The target's, once it is ready."""
        self.incarnation = 0
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[MoveAnswer] | None = None
        self._is_flushing = False
        self._hello: asyncio.Future[int] = self._loop.create_future()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(path)
            self._stream = Stream(sock, self._take, self._ended)
        except OSError as error:
            sock.close()
            raise WayBrokenError(f"the process at seat {seat} cannot be reached: {error.strerror}") from None

    async def begin(self, begins: MoveBegins, timeout_s: float) -> None:
        """Raises WayBrokenError where the target does not take our sessions."""
        try:
            async with asyncio.timeout(timeout_s):
                self.incarnation = await self._hello
        except TimeoutError:
            raise WaySilentError(f"the process at seat {self.seat} does not answer") from None
        answer = await self._ask(begins, timeout_s)
        if isinstance(answer, MoveRefused):
            raise WayBrokenError(answer.reason)
        assert isinstance(answer, MoveReady)
        self.codec = answer.codec

    def tell(self, envelope: MoveEnvelope, fd: int | None = None) -> None:
        """The descriptor stays ours, and open until the target has answered."""
        self._stream.send(envelope, fd)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def is_open(self) -> bool:
        return not self._stream.ended

    def expect(self) -> asyncio.Future[MoveAnswer]:
        """The next answer. Raises WayBrokenError when the stream ends first."""
        self._answer = answer = self._loop.create_future()
        if self._stream.ended:
            answer.set_exception(WayBrokenError(f"the process at seat {self.seat} is gone"))
        return answer

    async def _ask(self, envelope: MoveEnvelope, timeout_s: float) -> MoveAnswer:
        answer = self.expect()
        self.tell(envelope)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise WaySilentError(f"the process at seat {self.seat} does not answer") from None

    async def ask(self, envelope: MoveEnvelope, kind: type[A], timeout_s: float) -> A:
        answer = await self._ask(envelope, timeout_s)
        if not isinstance(answer, kind):
            raise WayBrokenError(f"the process at seat {self.seat} gave an unexpected answer")
        return answer

    async def flushed(self) -> None:
        """Until what was committed is with the kernel, which keeps it for the target, or nobody is there to take it: if the
        stream were closed before, those sessions would be nowhere."""
        self._is_flushing, until = True, monotonic() + _FLUSHED_S
        while self._stream.backlogged and not self._stream.ended and monotonic() < until:  # noqa: ASYNC110 - rarely
            await asyncio.sleep(_LOOK_S)
        self._is_flushing = False

    def end(self, plan: int) -> None:
        """All know by now who decides."""
        self.tell(MoveEnds(plan))
        self.flush()
        self.close()

    def stop(self) -> None:
        """Close it, unless it carries what was committed."""
        if not self._is_flushing:
            self.close()

    def close(self) -> None:
        self._stream.close()

    def _take(self, envelope: Envelope, _fd: int | None) -> None:
        if isinstance(envelope, Hello):
            if not self._hello.done():
                self._hello.set_result(envelope.incarnation)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(envelope)  # type: ignore[arg-type]

    def _ended(self) -> None:
        error = f"the process at seat {self.seat} is gone"
        for future in (self._hello, self._answer):
            if future is not None and not future.done():
                future.set_exception(WayBrokenError(error))
                future.exception()  # perhaps nobody waits
