"""The application of a simulated history: callbacks that do what their scripts say, and the calls that they make.

A script is drawn when a message is sent or a connection is opened, never while a callback runs, so that what an application
does depends on the seed and not on the order of things. Script: (is it async, action, …, how it ends); see `Script`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.simulation.model.frames import CLOSED, CONNECTED, SessionModel
from tests.support.simulation.model.patience import CLOSES, KICKS
from wspulse.actors.moving.drain import Drain
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.inbox import calling_inbox
from wspulse.actors.values.errors import (
    ConnectionClosedError,
    ConnectionNotFoundError,
    SendBufferFullError,
    ShardUnavailableError,
)
from wspulse.actors.values.frame import Frame

if TYPE_CHECKING:
    from tests.support.simulation.model.handlers import Run
    from tests.support.simulation.model.model import Model
    from wspulse.actors.bus.contract import Bus
    from wspulse.actors.sessions.connections.connection import Connection
    from wspulse.actors.sessions.shard import Shard

__all__ = ["Script", "SimApp"]


_whose: ContextVar[int] = ContextVar("whose", default=-1)
"""In a session's context, the session's number; -1 where no handler of it has run yet."""


class HandlerError(Exception):
    """What a handler raises when its script says so."""


class Script(NamedTuple):
    """What a callback does. Actions: ("sleep", s) ("gate",) ("yield",) ("call", s) ("send", id) ("broadcast", room, excluded)
    ("join", room) ("leave", room) ("close",) ("kick", id) ("shutdown",); a sync callback starts a task for the last five and
    leaves out the first four.
    `end`: "" or "raise", "cancel", "exit". `on_cancel`, what it does about a cancellation: "" lets it pass; "swallow",
    "clean up", "refuse".
    """

    is_async: bool
    actions: tuple[tuple[Any, ...], ...]
    end: str = ""
    on_cancel: str = ""


_REFUSES_S = 12.0
"""How long a handler refuses its cancellation: longer than it is waited for."""

_ENDS: dict[str, type[BaseException]] = {
    "raise": HandlerError,
    "cancel": asyncio.CancelledError,
    "exit": SystemExit,
}


class SimApp:
    """See the module. The calls mirror `Server`'s for a single shard, and hold every outcome against the model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.shard: Shard
        self.bus: Bus
        self.scripts: dict[int, Script] = {}
        """By the number of the inbound message."""
        self.gates: list[asyncio.Future[None]] = []
        """Handlers wait here until a step lets one go on."""
        self.tasks: list[asyncio.Task[Any]] = []
        self.is_shut = False

    def handlers(self) -> Handlers:
        every: dict[str, Any] = {
            "on_connect": self._on_connect,
            "on_message": self._on_message,
            "on_disconnect": self._on_disconnect,
            "on_transport_drop": self._on_transport_drop,
            "on_transport_restore": self._on_transport_restore,
        }
        return Handlers(**{kind: handler for kind, handler in every.items() if kind in self.model.callbacks})

    # Callbacks.

    def _on_message(self, connection: Connection, frame: Frame) -> Any:
        model = self.model
        session = model.of[connection]
        if frame.id:
            model.fail(f"{session}: a handler is given {frame.payload}, an answer to a call")
            return None
        number = int(frame.payload)
        run = model.message_begins(session, number)
        self._in_its_context(session)
        script = self.scripts.get(number)
        if script is None:
            model.callback_ends(run)
            return None
        return self._play(run, script, number)

    def _on_connect(self, connection: Connection) -> Any:
        return self._callback("on_connect", connection, None)

    def _on_disconnect(self, connection: Connection, error: BaseException | None) -> Any:
        return self._callback("on_disconnect", connection, error)

    def _on_transport_drop(self, connection: Connection, error: BaseException | None) -> Any:
        return self._callback("on_transport_drop", connection, error)

    def _on_transport_restore(self, connection: Connection) -> Any:
        return self._callback("on_transport_restore", connection, None)

    def _callback(self, kind: str, connection: Connection, error: BaseException | None) -> Any:
        session = self.model.of[connection]
        run = self.model.callback_begins(session, kind, error)
        self._in_its_context(session)
        script = session.scripts.get(kind)
        if script is None:
            self.model.callback_ends(run)
            return None
        return self._play(run, script, None)

    def _in_its_context(self, session: SessionModel) -> None:
        found, expected = _whose.get(), session.number if session.has_context else -1
        if found != expected:
            self.model.fail(f"{session}: a handler runs in the context of {found}, and not of {expected}")
        _whose.set(session.number)
        session.has_context = True

    def _play(self, run: Run, script: Script, number: int | None) -> Any:
        if script.is_async:
            run.is_async = True
            return self._play_async(run, script, number)
        try:
            for action in script.actions:
                self._act(run.session, action)
            self._end(run, script, number)
        finally:
            self.model.callback_ends(run)
        return None

    async def _play_async(self, run: Run, script: Script, number: int | None) -> None:
        run.task = asyncio.current_task()
        self._in_its_context(run.session)
        try:
            for action in script.actions:
                try:
                    await self._act_async(run.session, action)
                except asyncio.CancelledError:
                    await self._bear(run, script, number)
            self._end(run, script, number)
        finally:
            self.model.callback_ends(run)

    async def _bear(self, run: Run, script: Script, number: int | None) -> None:
        """Take a cancellation as the script says; raises it unless the handler is to go on."""
        if self.is_aborting(run):
            raise asyncio.CancelledError
        is_first = self.model.handler_cancelled(run)
        if number is not None and run.is_late and is_first:
            self.model.message_is_late(run, number)
        if not is_first or not script.on_cancel:
            raise asyncio.CancelledError
        if script.on_cancel == "clean up":
            await asyncio.sleep(0.3)
            raise asyncio.CancelledError
        ends_at = self.model.loop.now + _REFUSES_S
        while script.on_cancel == "refuse" and (left_s := ends_at - self.model.loop.now) > 0:
            try:
                await asyncio.sleep(left_s)
            except asyncio.CancelledError:
                if self.is_aborting(run):
                    raise
                self.model.handler_cancelled(run)

    def _end(self, run: Run, script: Script, number: int | None) -> None:
        if script.end:
            error = _ENDS[script.end]("as the script says")
            self.model.handler_raises(run, number, error)
            raise error

    def _act(self, session: SessionModel, action: tuple[Any, ...]) -> None:
        what = action[0]
        if what == "send":
            self.send(session if action[1] is None else action[1])
        elif what == "broadcast":
            self.broadcast_nowait(*action[1:])
        elif what in ("join", "leave", "close", "kick", "shutdown"):
            self.start(self._act_async(session, action))

    async def _act_async(self, session: SessionModel, action: tuple[Any, ...]) -> None:
        what = action[0]
        if what == "sleep":
            await asyncio.sleep(action[1])
        elif what == "yield":
            await asyncio.sleep(0)
        elif what == "gate":
            gate = self.model.loop.create_future()
            self.gates.append(gate)
            await gate
        elif what == "broadcast":
            await self.broadcast(*action[1:])
        elif what == "join":
            await self.join(session, action[1])
        elif what == "leave":
            await self.leave(session, action[1])
        elif what == "call":
            await self.model.calls.call(session, action[1], is_handlers=True)
        elif what == "close":
            self.close(session)
        elif what == "kick":
            self.kick(action[1])
        elif what == "shutdown":
            await self.shut_down()
        else:
            self._act(session, action)

    def is_aborting(self, _run: Run) -> bool:
        return self.shard.aborting

    # Calls, also made by steps of the history.

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(self.model.loop.create_task(coroutine))

    def send(self, to: SessionModel | str) -> None:
        """`connection.send` to a session, or `server.send` to an id."""
        model = self.model
        by_id = isinstance(to, str)
        session = model.live.get(to) if isinstance(to, str) else to
        number = model.new_number()
        frame = Frame(payload=b"d%d" % number)
        if session is None:
            try:
                self.shard.find(str(to))
            except ConnectionNotFoundError:
                return
            model.fail(f"send to {to}, which no session has, found one")
            return
        full = False
        if session.state is CONNECTED:
            is_blocked = session.peer.socket.paused or session.is_between
            full = is_blocked and session.real.queued_frames >= model.limit_frames
        model.direct_accepted(session, number)
        try:
            if by_id:
                self.shard.find(session.id).send(self.shard.encode(frame))
            else:
                session.connection.send_nowait(frame)
        except SendBufferFullError:
            model.direct_refused(session, number)
            if not full:
                model.fail(
                    f"{session}: send buffer full while {session.state}, with {session.real.queued_frames} frames"
                )
            return
        except ConnectionClosedError:
            model.direct_refused(session, number)
            if session.state is not CLOSED:
                model.fail(f"{session}: closed for send, and {session.state}")
            return
        except ConnectionNotFoundError:
            model.fail(f"{session}: not found by send, and {session.state}")
            return
        if full:
            model.fail(f"{session}: send took a frame that its full buffer has no room for")
        if session.state is CLOSED:
            model.fail(f"{session}: send took a frame for a closed session")

    def broadcast_nowait(self, room_id: str, excluded: frozenset[str] = frozenset()) -> bool:
        if excluded:
            return self.bus.publish_but(room_id, self._broadcast_wire(), excluded)
        return self.bus.publish(room_id, self._broadcast_wire())

    async def broadcast(self, room_id: str, excluded: frozenset[str] = frozenset()) -> None:
        if not self.broadcast_nowait(room_id, excluded):
            try:
                await self.bus.publish_when_free(room_id, self._broadcast_wire(), excluded)
            except ShardUnavailableError:
                pass

    async def join(self, session: SessionModel, room_id: str) -> None:
        membership = session.membership(self.model.room(room_id))
        epoch = membership.epoch
        membership.joining += 1
        try:
            await session.connection.join(room_id)
        except asyncio.CancelledError:
            # It became one in the turn in which it was cancelled, before that.
            if membership.epoch == epoch and room_id in session.connection.rooms:
                membership.joined()
            raise
        except ConnectionClosedError:
            if session.state is not CLOSED:
                self.model.fail(f"{session}: closed for join, and {session.state}")
        except ShardUnavailableError:
            if self.bus.leave_delay_s == 0 and not hasattr(self.bus, "is_joining"):
                self.model.fail(f"{session}: join of {room_id} failed in front of a local bus")
        else:
            if epoch == membership.epoch and session.state is not CLOSED:
                membership.joined()
                if room_id not in session.connection.rooms:
                    self.model.fail(f"{session}: join of {room_id} returned, and it is in {session.connection.rooms}")
        finally:
            membership.joining -= 1

    async def join_and_say(self, session: SessionModel, room_id: str) -> None:
        """The first thing after a join is a broadcast, which must reach the one that has joined."""
        await self.join(session, room_id)
        self.broadcast_nowait(room_id)

    async def leave(self, session: SessionModel, room_id: str) -> None:
        room = self.model.room(room_id)
        try:
            await session.connection.leave(room_id)
        except ValueError:
            if room is not session.room:
                self.model.fail(f"{session}: could not leave {room_id}")
            return
        if room is session.room and not session.kept:
            self.model.fail(f"{session}: left its first room")
        elif (membership := session.memberships.get(room)) is not None:
            membership.leaves()
        if not session.connection.closed and room_id in session.connection.rooms:
            self.model.fail(f"{session}: leave of {room_id} returned, and it is in {session.connection.rooms}")

    def _broadcast_wire(self) -> bytes:
        return self.shard.encode(Frame(payload=b"b%d" % self.model.new_number()))

    def kick(self, connection_id: str) -> None:
        model = self.model
        session = model.live.get(connection_id)
        how = KICKS[model.new_number() % len(KICKS)]
        outer, model.ordered = model.ordered, ("kick", session, how)
        try:
            self.shard.kick(connection_id, *how)
        except ConnectionNotFoundError:
            if session is not None:
                model.fail(f"{session}: not found by kick")
        else:
            if session is None or session.state is not CLOSED or connection_id in self.shard.sessions:
                model.fail(f"{session}: kick returned and it is still there")
        finally:
            model.ordered = outer

    def close(self, session: SessionModel) -> None:
        model = self.model
        how = CLOSES[model.new_number() % len(CLOSES)]
        outer, model.ordered = model.ordered, ("close", session, how)
        try:
            self.shard.close_session(session.real, *how)
        finally:
            model.ordered = outer
        if session.state is not CLOSED:
            model.fail(f"{session}: close returned and it is {session.state}")

    async def shut_down(self) -> None:
        """`server.close()`, as the runtime of a single shard carries it out."""
        exempt = calling_inbox()
        if self.is_shut:
            return
        self.shut_down_now()
        await self.shard.quiet(() if exempt is None else (exempt,))
        model = self.model
        mine = model.of[exempt.connection] if exempt is not None else None
        for session in model.sessions:
            for peer in session.peers:
                if not peer.socket.lost:
                    model.fail(f"close() returned before {peer} was gone")
            # Callbacks of later sessions of the caller's id wait for the caller.
            if (mine is None or session.id != mine.id) and (model.running(session) is session or session.expected):
                model.fail(f"close() returned before {session.active or session.expected} of {session}")

    def shut_down_now(self) -> None:
        model = self.model
        self.is_shut = True
        model.closing = True
        outer, model.ordered = model.ordered, ("shutdown", None, (1001, "server shutting down"))
        try:
            self.shard.close_all(Drain(self.shard).close)
        finally:
            model.ordered = outer
        if model.live:
            model.fail(f"close_all left {model.live}")

    async def watch(self, session: SessionModel) -> None:
        await session.connection.wait_closed()
        if session.state is not CLOSED:
            self.model.fail(f"{session}: wait_closed returned while {session.state}")
