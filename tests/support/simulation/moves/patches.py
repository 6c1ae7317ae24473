"""What stands for the kernel, the clock and the mailbox in the code that moves sessions, while a history is played.

And who listens there: the model hears of each session that is frozen, in its place again, or closed since it cannot move.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.support.simulation.outside.small import logger
from wspulse.actors.mesh.placing import owners
from wspulse.actors.moving import arrival, batch, departure, drain, landing, moving, resting, way
from wspulse.actors.runtime import dispatch
from wspulse.actors.sessions.asking.call import begin_call
from wspulse.actors.sessions.connections import local_connection, remote_connection
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.transfer import frozen as frozen_sessions
from wspulse.actors.sessions.transfer import places
from wspulse.actors.transport.transfer import movable

if TYPE_CHECKING:
    from tests.support.simulation.moves.world import MovingWorld
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["Unconnected", "patches_of"]


def patches_of(world: MovingWorld) -> tuple[tuple[object, str, object], ...]:
    """What stands for the kernel, the clock and the mailbox in the code that moves sessions."""
    close = SimpleNamespace(close=world.descriptors.close)
    clocks = (owners, arrival, batch, departure, moving, resting, dispatch, remote_connection)
    take_in, freeze, close_one = places.take_in, frozen_sessions.freeze, drain.Drain._close

    def taken_in(shard: Shard, session: Session) -> None:
        take_in(shard, session)
        world.model.taken_in(shard, session)

    def frozen(session: Session) -> None:
        freeze(session)
        world.model.frozen(session)

    def closed(self_: Any, session: Session, now: float) -> None:
        model = world.model
        if not self_._restarts or session.shard.process.is_dead:  # type: ignore[attr-defined]
            close_one(self_, session, now)
            return
        outer, model.ordered = model.ordered, model.drained(session)
        try:
            close_one(self_, session, now)
        finally:
            model.ordered = outer

    def call_begun(session: Any, call_id: str, wire: bytes, timeout_s: float) -> Any:
        model, number = world.model, int(wire[3:])
        if model.is_accepted(number):
            return begin_call(session, call_id, wire, timeout_s)
        # It has waited for the session, which was between two processes.
        called = model.of[session.connection]
        model.direct_accepted(called, number)
        try:
            return begin_call(session, call_id, wire, timeout_s)
        except BaseException:
            model.direct_refused(called, number)
            raise

    return (
        *((module, "monotonic", world.loop.time) for module in clocks),
        *((module, "_logger", logger) for module in (arrival, batch, departure, moving)),
        (departure, "_LOOK_S", 0.05),
        (resting, "BATCH_SESSIONS", 1 + int(world.random.random() * 3)),
        *((module, "begin_call", call_begun) for module in (dispatch, local_connection)),
        (drain, "random", world.random.random),
        (drain.Drain, "_close", closed),
        (movable, "copy_of", world.descriptors.copy_of),
        (movable, "can_be_copied", lambda client: not client.is_closing()),
        (batch, "stream_socket", world.descriptors.socket_of),
        (arrival, "stream_socket", world.descriptors.socket_of),
        (batch, "os", close),
        (arrival, "os", close),
        (landing, "open_transport", world.descriptors.open_transport),
        (landing, "take_in", taken_in),
        (batch, "freeze", frozen),
        (way, "socket", SimpleNamespace(AF_UNIX=0, SOCK_STREAM=0, socket=lambda *_: Unconnected(world))),
        (way, "Stream", world.connect_stream),
    )


class Unconnected:
    """A Unix socket of a source."""

    def __init__(self, world: MovingWorld) -> None:
        self._world = world
        self.to: SimProcess | None = None

    def setblocking(self, _flag: bool) -> None:
        pass

    def connect(self, path: str) -> None:
        self.to = self._world.at(int(path))
        if self.to is None:
            raise ConnectionRefusedError(111, "Connection refused")

    def close(self) -> None:
        pass
