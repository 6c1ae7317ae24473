"""What must be true of asks by id in a history with several processes: whoever has the session does what is asked, once, in the
order of the calls of each process, and nobody else does.

Part of the model of such a history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.frames import CLOSED, SessionModel
from tests.support.simulation.model.model import Model
from wspulse.actors.mesh.message import Kick, Message, SendFrame
from wspulse.actors.values.errors import (
    ConnectionNotFoundError,
    InTransitError,
    SendBufferFullError,
    SessionMovedError,
)

if TYPE_CHECKING:
    from tests.support.simulation.outside.processes.process import SimProcess
    from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["AskModel"]

_ASK_S = 5.0
"""contract §4: what is not done by then never is."""


class AskModel(Model):
    """See the module."""

    def __init__(self, loop: SimLoop, options: ServerOptions, callbacks: frozenset[str]) -> None:
        super().__init__(loop, options, callbacks)
        self._asked: defaultdict[tuple[SimProcess, str], list[tuple[int, float, SessionModel | None]]] = defaultdict(
            list
        )
        """By who asks and about whom, the frames that are on their way, in the order of the calls, each with when that was."""
        self._asks: dict[int, tuple[SimProcess, str]] = {}

    def asks(self, process: SimProcess, connection_id: str, number: int, only: SessionModel | None = None) -> None:
        """A frame is sent to an id."""
        if self.trace is not None:
            self.note(f"{process} sends {number} to {connection_id}")
        self._asks[number] = process, connection_id
        self._asked[process, connection_id].append((number, self.now, only))

    def answered(self, number: int) -> None:
        """What became of it is known, or never will be."""
        asked = self._asks.pop(number, None)
        if asked is not None:
            self._asked[asked] = [entry for entry in self._asked[asked] if entry[0] != number]

    def asked(self, process: SimProcess, message: Message, receive: Callable[[Message], Any]) -> Any:
        """A process is given a message."""
        if self.trace is not None:
            self.note(f"{process} is given {message}")
        connection_id = getattr(message, "connection_id", None)
        if connection_id is None:
            return receive(message)
        live = self.live.get(connection_id)
        key = getattr(message, "key", None)
        is_meant = live is not None and (key is None or tuple(key) == live.real.key)
        number = int(message.wire[3:]) if isinstance(message, SendFrame) else None
        is_here = is_meant and live is not None and live.process is process and live.goes_to is None
        if is_here and live is not None and live.is_between:
            # One that is frozen keeps what is sent to it, and nothing else is done to it.
            is_here = number is not None
        if is_here and number is not None:
            self.direct_accepted(live, number)  # type: ignore[arg-type]
        try:
            result = receive(message)
        except BaseException as error:
            if is_here and number is not None:
                self.direct_refused(live, number)  # type: ignore[arg-type]
            if number is not None and not isinstance(error, (SessionMovedError, InTransitError)):
                self.answered(number)
            self._look_at_refusal(process, live if is_meant else None, error)
            raise
        if not is_here and not process.is_dead:
            self.fail(f"{process} has done {message}, and {connection_id} is not there")
        if isinstance(message, Kick) and live is not None and live.state is not CLOSED:
            self.fail(f"{live}: kick returned and it is still there")
        if number is not None and number in self._asks:
            asked = [
                entry
                for entry in self._asked[self._asks[number]]
                if entry[1] > self.now - _ASK_S and (entry[2] is None or entry[2].state is not CLOSED)
            ]
            if asked and asked[0][0] != number:
                self.fail(f"{connection_id}: frame {number} of {self._asks[number]} is done, and {asked} were to come")
            self.answered(number)
        return result

    def _look_at_refusal(self, process: SimProcess, live: SessionModel | None, error: BaseException) -> None:
        if isinstance(error, ConnectionNotFoundError):
            if live is not None and not process.is_dead:
                self.fail(f"{live}: not found at {process}, and it is at {live.process}, {live.is_between=}")
        elif isinstance(error, SessionMovedError):
            if live is not None and live.process is process and live.goes_to is None:
                self.fail(f"{live}: {process} says that it has moved to {error.seat}")
        elif isinstance(error, InTransitError):
            pass
        elif isinstance(error, SendBufferFullError):
            assert live is not None
            is_full = live.peer.socket.paused or live.peer.was_refused_by_loop or live.is_between
            if not is_full or live.real.queued_frames < self.limit_frames:
                self.fail(f"{live}: send buffer full for an ask, with {live.real.queued_frames} frames")
