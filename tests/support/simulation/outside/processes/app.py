"""`MovingApp`: the application of a simulated history with several processes: it runs in each of them, and asks by id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support.simulation.model.frames import CLOSED, SessionModel
from tests.support.simulation.model.patience import CLOSES, KICKS
from tests.support.simulation.outside.app import HandlerError, SimApp
from wspulse.actors.mesh.message import Kick, SendFrame
from wspulse.actors.moving.drain import Drain
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.inbox import calling_inbox
from wspulse.actors.values.errors import (
    ConnectionClosedError,
    InTransitError,
    SessionMovedError,
    ShardUnavailableError,
    WspulseError,
)
from wspulse.actors.values.frame import Frame

if TYPE_CHECKING:
    from tests.support.simulation.model.handlers import Run
    from tests.support.simulation.model.moves import MovingModel
    from tests.support.simulation.moves.world import MovingWorld
    from tests.support.simulation.outside.processes.process import SimProcess

__all__ = ["MovingApp"]


class MovingApp(SimApp):
    """See the module."""

    model: MovingModel

    def __init__(self, model: MovingModel, world: MovingWorld) -> None:
        super().__init__(model)
        self._world = world
        self._watching: list[tuple[SessionModel, asyncio.Task[Any]]] = []

    def handlers_of(self, process: SimProcess) -> Handlers:
        base = super().handlers()
        called: dict[str, Any] = {
            kind: partial(self._called, process, kind, handler)
            for kind in self.model.callbacks
            if (handler := getattr(base, kind)) is not None
        }
        for kind in self.model.goodbyes:
            called[kind] = partial(self._called, process, kind, partial(self._on_transfer, kind))
        return Handlers(**called)

    def _called(self, process: SimProcess, kind: str, handler: Callable[..., Any], connection: Any, *args: Any) -> Any:
        if process.is_dead:
            return None
        self.model.called(process, connection, kind)
        try:
            return handler(connection, *args)
        except HandlerError:
            raise
        except Exception as error:
            self.model.fail(f"{kind} of the simulated application: {error!r}")
            raise

    def _on_transfer(self, kind: str, connection: Any) -> Any:
        return self._callback(kind, connection, None)

    def is_aborting(self, run: Run) -> bool:
        process = run.session.process
        return process is not None and process.is_dead

    def _someone(self, number: int) -> SimProcess:
        processes = self._world.processes
        return processes[number % len(processes)]

    # Broadcasts: in handlers by the process in which they run.

    def _act(self, session: SessionModel, action: tuple[Any, ...]) -> None:
        if action[0] == "broadcast":
            waits = self._broadcast_at(session, *action[1:])
            if waits is not None:
                waits.close()  # sync code cannot wait for it, and says nothing
        else:
            super()._act(session, action)

    async def _act_async(self, session: SessionModel, action: tuple[Any, ...]) -> None:
        if action[0] == "broadcast":
            waits = self._broadcast_at(session, *action[1:])
            if waits is not None:
                with suppress(ShardUnavailableError):
                    await waits
        else:
            await super()._act_async(session, action)

    def _broadcast_at(
        self, session: SessionModel, room_id: str, excluded: frozenset[str] = frozenset()
    ) -> Coroutine[Any, Any, None] | None:
        process = session.process
        assert process is not None
        number = self.model.new_number()
        wire = self._world.encode(Frame(payload=b"b%d" % number))
        self.model.says(session, number)
        bus = process.bus
        if bus.publish_but(room_id, wire, excluded) if excluded else bus.publish(room_id, wire):
            return None
        return None if process.is_dead else bus.publish_when_free(room_id, wire, excluded)

    def broadcast_nowait(self, room_id: str, excluded: frozenset[str] = frozenset()) -> bool:
        number = self.model.new_number()
        bus = self._someone(number).bus
        wire = self._world.encode(Frame(payload=b"b%d" % number))
        return bus.publish_but(room_id, wire, excluded) if excluded else bus.publish(room_id, wire)

    def broadcast_from(self, process: SimProcess, room_id: str) -> None:
        wire = self._world.encode(Frame(payload=b"b%d" % self.model.new_number()))
        process.bus.publish(room_id, wire)

    async def broadcast(self, room_id: str, excluded: frozenset[str] = frozenset()) -> None:
        self.broadcast_nowait(room_id, excluded)

    async def join(self, session: SessionModel, room_id: str) -> None:
        membership, asker = session.membership(self.model.room(room_id)), session.process
        await super().join(session, room_id)
        if asker is not None and asker.is_dead and not membership.is_member:
            # Whoever asked has ended, and heard nothing of what was done.
            membership.joining += 1

    async def leave(self, session: SessionModel, room_id: str) -> None:
        asker = session.process
        try:
            await super().leave(session, room_id)
        except ShardUnavailableError:
            # Whoever asked has ended, or whom it asked has died.
            if asker is not None and not asker.is_dead and not self._world.has_killed:
                self.model.fail(f"{session}: leave of {room_id} was not answered, and {asker} is there")

    # Frames and ends.

    def send(self, to: SessionModel | str) -> None:
        if not isinstance(to, str):
            if to.is_lost:
                return
            if to.goes_to is not None or (to.kept and self.model.new_number() % 3 == 0):
                self._send_by_kept(to)
            else:
                super().send(to)
            return
        model = self.model
        number = model.new_number()
        asker = self._someone(number)
        message = SendFrame(to, self._world.encode(Frame(payload=b"d%d" % number)))
        if asker.placement.shard_of(to) == asker.seat and to not in asker.owners.under_way:
            model.asks(asker, to, number)
            try:
                asker.receive(message)
            except (SessionMovedError, InTransitError):
                model.answered(number)  # it is asked for in a moment
            except WspulseError:
                model.answered(number)
                return
            else:
                return
        self.start(self._ask(asker, to, message, number))

    def _send_by_kept(self, session: SessionModel) -> None:
        """By the connection that the application has kept in a process that the session has left."""
        connection, process = session.kept[-1]
        if process.is_dead:
            return
        number = self.model.new_number()
        self.model.asks(process, session.id, number, session)
        try:
            connection.send_nowait(Frame(payload=b"d%d" % number))
        except ConnectionClosedError:
            self.model.answered(number)

    async def _ask(self, asker: SimProcess, connection_id: str, message: Any, number: int) -> None:
        if isinstance(message, SendFrame):
            self.model.asks(asker, connection_id, number)
        try:
            await asker.owners.ask(connection_id, message)
        except WspulseError:
            pass
        finally:
            self.model.answered(number)

    def kick(self, connection_id: str) -> None:
        number = self.model.new_number()
        message = Kick(connection_id, *KICKS[number % len(KICKS)])
        self.start(self._ask(self._someone(number), connection_id, message, number))

    def close(self, session: SessionModel) -> None:
        if session.is_lost:
            return
        number = self.model.new_number()
        how = CLOSES[number % len(CLOSES)]
        if session.is_between:
            self.start(self._close(session.connection, how))
        elif session.kept and number % 2:
            connection, process = session.kept[-1]
            if not process.is_dead:
                self.start(self._close(connection, how))
        else:
            assert session.process is not None
            session.process.shard.close_session(session.real, *how)
            if session.state is not CLOSED:
                self.model.fail(f"{session}: close returned and it is {session.state}")

    async def _close(self, connection: Any, how: tuple[int, str]) -> None:
        with suppress(ShardUnavailableError):
            await connection.close(*how)

    async def watch(self, session: SessionModel) -> None:
        task = asyncio.current_task()
        assert task is not None
        process = session.process
        if process is not None and process.is_dead:
            return  # with whoever was to wait
        self._watching.append((session, task))
        await session.connection.wait_closed()
        if session.state is not CLOSED and process is not None and not process.is_dead:
            self.model.fail(f"{session}: wait_closed returned while {session.state}")

    # Ends of processes, and of all.

    def died(self, process: SimProcess) -> None:
        for session, task in self._watching:
            if session.process is process:
                task.cancel()

    async def shut_down(self) -> None:
        exempt = calling_inbox()
        if self.is_shut:
            return
        self.is_shut = True
        self._world.supervisor.is_stopping = True
        # Whoever asked for it may be cancelled.
        closing = self.model.loop.create_task(self._stop_moves())
        self.tasks.append(closing)
        await asyncio.shield(closing)
        for process in list(self._world.processes):
            if not process.is_dead:
                await process.shard.quiet(() if exempt is None else (exempt,))

    async def _stop_moves(self) -> None:
        for process in list(self._world.processes):
            await process.moving.stop()
        self.shut_down_now()

    def shut_down_now(self) -> None:
        model = self.model
        self.is_shut = model.closing = True
        outer, model.ordered = model.ordered, ("shutdown", None, (1001, "server shutting down"))
        try:
            for process in self._world.processes:
                process.shard.close_all(Drain(process.shard).close)
        finally:
            model.ordered = outer
        left = [session for session in model.live.values() if not session.is_between]
        if left:
            model.fail(f"close_all left {left}")
