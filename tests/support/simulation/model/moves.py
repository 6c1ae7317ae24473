"""What must be true of sessions that move between the processes of a simulated history (doc/why/moving.md).

Part of the model of such a history. A session is in the table of one process, or between two; nothing of it runs meanwhile, and
everything else that is promised of it goes on: the same checks judge it before, and afterwards elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.asks import AskModel
from tests.support.simulation.model.frames import CLOSED, CONNECTED, SUSPENDED, RoomModel, SessionModel
from tests.support.simulation.model.handlers import Run
from wspulse.actors.values.errors import (
    ServerClosedError,
    TransportError,
)

if TYPE_CHECKING:
    from tests.support.simulation.outside.peer import SimPeer
    from tests.support.simulation.outside.processes.process import SimProcess
    from tests.support.simulation.outside.processes.supervisor import Plan
    from wspulse.actors.sessions.session import Session
    from wspulse.actors.sessions.shard import Shard
    from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["MovingModel"]

_EPSILON_S = 1e-6
_ASK_S = 5.0
"""contract §4: what is not done by then never is."""


class MovingModel(AskModel):
    """See the module."""

    def __init__(
        self, loop: SimLoop, options: ServerOptions, callbacks: frozenset[str], goodbyes: frozenset[str]
    ) -> None:
        super().__init__(loop, options, callbacks)
        self.goodbyes = goodbyes
        """Which of the two callbacks of a move the application has."""
        self.by_key: dict[tuple[int, int], SessionModel] = {}
        self.handover_timeout_s = 0.0
        self.moved = 0
        self.taken_back = 0
        self.refused: set[str] = set()
        """Whose sessions a target has refused."""
        self._said_by: dict[int, SessionModel] = {}
        """Broadcasts of handlers, by their numbers."""
        self._outlived: set[SessionModel] = set()
        self._upto: dict[SessionModel, dict[RoomModel, int]] = {}
        self._has_somebody_died = False
        """Of those that were frozen, how far their source had got in their rooms."""
        self._said: dict[tuple[SessionModel, str], int] = {}

    # What the shards tell.

    def event_at(self, process: SimProcess, kind: str, session: Session, error: BaseException | None) -> None:
        if process.is_dead:
            return
        if kind == "connect":
            self.event(kind, session, error)
            model = self._of_session.get(session)
            if model is not None:
                self.by_key[session.key] = model
                model.process, model.seat, model.seats = process, process.seat, [process.seat]
            return
        model = self.by_key.get(session.key)
        if model is None or model.real is not session or model.is_between:
            self.fail(f"{model}: {kind} at {process}, and it is {'between' if model and model.is_between else 'gone'}")
            return
        if kind == "transfer":
            self._transferred(model)
            return
        if isinstance(error, ServerClosedError) and process.shard.closing and self.ordered is None:
            # It has come to a process that ends.
            self.ordered = ("shutdown", None, (1001, "server shutting down"))
            self.event(kind, session, error)
            self.ordered = None
            return
        self.event(kind, session, error)

    def _accepted(self, peer: SimPeer, live: SessionModel | None) -> None:
        if live is not None and live.is_between:
            self.fail(f"{peer}: accepted while {live} is between two processes")
        elif live is not None and live.process is not peer.socket.process:
            self.fail(f"{peer}: accepted at {peer.socket.process}, and {live} is at {live.process}")
        super()._accepted(peer, live)
        if live is None and peer.session is not None:
            peer.session.process = peer.socket.process

    def data_written(self, peer: SimPeer, payload: bytes) -> None:
        session = peer.session
        if session is not None and session.is_between:
            self.fail(f"{peer}: {payload!r} is written, and {session} is between two processes")
        elif session is not None and session.process is not peer.socket.process and session.state is not CLOSED:
            self.fail(f"{peer}: {payload!r} is written by {peer.socket.process}, and {session} is at {session.process}")
        super().data_written(peer, payload)

    def placed(self, room_id: str, number: int, excluded: frozenset[str] = frozenset()) -> None:
        by = self._said_by.get(number)
        if by is not None:
            if self._said.get((by, room_id), -1) > number:
                self.fail(f"{by}: its broadcast {number} to {room_id} comes behind a later one of its own")
            self._said[by, room_id] = number
        super().placed(room_id, number, excluded)

    def says(self, session: SessionModel, number: int) -> None:
        """A handler broadcasts."""
        self._said_by[number] = session

    # A move, session by session.

    def halted(self, connection: Any) -> None:
        self.of[connection].halted_at = self.now

    def returned(self, connection: Any) -> None:
        model = self.of[connection]
        model.given_up_at = self.now - (self.now if model.halted_at is None else model.halted_at)
        model.halted_at = None

    def frozen(self, session: Session) -> None:
        """From this step on it is in no table."""
        model = self.by_key[session.key]
        if self.trace is not None:
            self.note(f"{model} is frozen")
        if model.is_between or model.state is CLOSED or model.real is not session:
            self.fail(f"{model}: frozen, and it is {model.state}")
        run = self._active.get(model.id)
        if model.expected or (run is not None and run.session is model):
            self.fail(f"{model}: frozen, and {model.active or model.expected} is still to come")
        if any(call.session is model for call in self.calls.waiting.values()):
            self.fail(f"{model}: frozen, and a call of it waits")
        model.is_between = True
        model.frozen_at, model.frozen_turn = self.now, self.loop.turns
        self._upto[model] = {room: room.upto(model.seat) for room in model.memberships}
        if model.state is CONNECTED:
            model.peer.note_standing(stands=True)

    def opened(self, peer: SimPeer) -> None:
        """A loop has its socket, that of a newcomer or of a session that has moved."""
        model = peer.session
        if model is not None and model.is_between:
            peer.note_standing(stands=False)
            peer.next_ping += self.now - model.frozen_at

    def departed(self, process: SimProcess, connection: Any, to: SimProcess | None) -> None:
        """The source says that it is the target's."""
        model = self.of[connection]
        if not model.is_between or model.goes_to is not None:
            self.fail(f"{model}: has left, and was not frozen")
        model.kept.append((connection, process))
        if "on_transfer_out" in self.goodbyes and not model.said_goodbye:
            self.fail(f"{model}: has left without a goodbye")
        model.goes_to = to
        if to is None:
            # Its target has died, and the source has not heard of it.
            if not self._has_somebody_died:
                self.fail(f"{model}: has left for nobody")
            self._lost(model, process)

    def taken_in(self, shard: Shard, session: Session) -> None:
        """It is in a table, from this step on."""
        process: SimProcess = shard.process  # type: ignore[attr-defined]
        if process.is_dead:
            return
        model = self.by_key.get(session.key)
        if self.trace is not None:
            self.note(f"{model} is at {process}")
        if model is None or not model.is_between:
            self.fail(f"{model}: is at {process}, and was not between two processes")
            return
        if model.goes_to not in (None, process) or (model.goes_to is None and model.process is not process):
            self.fail(f"{model}: is at {process}, went to {model.goes_to}, and was at {model.process}")
        if (session.state is SUSPENDED) is not (model.state is SUSPENDED):
            self.fail(f"{model}: was {model.state} and is {session.state}")
        model.is_between = False
        model.landings += 1
        model.halted_at = None
        model.landed_turn = self.loop.turns
        model.stood_s += self.now - model.frozen_at
        now = self.now
        if model.goes_to is None:
            self.taken_back += 1
            if session is not model.real:
                self.fail(f"{model}: was taken back as another one")
        else:
            self.moved += 1
            self._is_new_at(model, process, session)
        exact = model.exact
        if exact is not None:
            exact.told_at, exact.untold_since = now, None

    def _is_new_at(self, model: SessionModel, process: SimProcess, session: Session) -> None:
        model.process, model.seat, model.goes_to = process, process.seat, None
        model.seats.append(process.seat)
        for room, upto in self._upto.pop(model).items():
            room.moved(model.seat, upto)
        model.real = session
        model.connection = session.connection
        self._of_session[session] = model
        self.of[session.connection] = model
        model.has_context = False
        model.said_goodbye = False
        if model.state is SUSPENDED:
            # Another object says the same, as far as it can.
            if repr(session.error) != repr(model.drop_error) and type(session.error) is not TransportError:
                self.fail(f"{model}: was dropped by {model.drop_error!r}, and it is {session.error!r} now")
            model.drop_error = session.error
        if "on_transfer_in" in self.goodbyes:
            model.expected.insert(0, ("on_transfer_in", None))

    def _transferred(self, model: SessionModel) -> None:
        """The target tells that it has it."""
        if model.is_between:
            self.fail(f"{model}: a transfer is told, and it is between two processes")

    # Callbacks.

    def called(self, process: SimProcess, connection: Any, kind: str) -> None:
        """A callback of a process is about to run."""
        model = self.of[connection]
        if model.is_between:
            self.fail(f"{model}: {kind} at {process}, and it is between two processes")
        elif model.process is not process or model.connection is not connection:
            self.fail(f"{model}: {kind} at {process}, and it is at {model.process}")
        is_told = kind == "on_message" and model.said_goodbye and model.halted_at is not None
        if is_told and not model.expected and self.strict:
            self.fail(f"{model}: on_message after on_transfer_out")

    def callback_begins(self, model: SessionModel, kind: str, error: BaseException | None) -> Run:
        if kind == "on_transfer_out":
            if model.halted_at is None or model.said_goodbye:
                self.fail(f"{model}: on_transfer_out, {model.said_goodbye=}")
            model.said_goodbye = True
            model.expected.insert(0, (kind, None))
        elif kind == "on_transfer_in" and model.said_goodbye:
            # The plan is over, and it stays.
            model.said_goodbye = False
            model.expected.insert(0, (kind, None))
        return super().callback_begins(model, kind, error)

    # Ends.

    def drained(self, session: Session) -> tuple[str, SessionModel | None, tuple[int, str | None]]:
        """A source closes what cannot move."""
        model = self.by_key.get(session.key)
        if model is not None and model.id in self.refused:
            self.refused.discard(model.id)
        elif model is None or model.given_up_at < self.handover_timeout_s - _EPSILON_S:
            self.fail(f"{model}: closed for a move, and it was waited for {model and model.given_up_at} s")
        return "drain", model, (1012, None)

    def key_of(self, model: SessionModel) -> str:
        return str(model) if model in self._outlived else model.id

    def running(self, model: SessionModel) -> SessionModel | None:
        found = super().running(model)
        if found is None and self._outlived:
            # Perhaps an earlier one of its id, in its own process.
            runs = [run.session for run in self._active.values() if run.session.id == model.id]
            return next((each for each in runs if each.process is model.process), None)
        return found

    def _outlives(self, model: SessionModel) -> None:
        """Its handlers take so long that newer sessions of its id, elsewhere, wait for them no more."""
        run = self._active.pop(model.id, None)
        self._outlived.add(model)
        if run is not None and run.session is model:
            self._active[self.key_of(model)] = run
        elif run is not None:
            self._active[model.id] = run

    def moved_out(self, plan: Plan) -> None:
        """A source says that none of its sessions is left."""
        slot_of = plan.source.slot_of
        for model in self.sessions:
            is_finishing = model.state is CLOSED and (model.active or model.expected)
            is_last = is_finishing and model not in self._outlived
            if is_last and model.process is plan.source and slot_of(model.id) in plan.targets:
                if self.now < plan.begun_at + self.handover_timeout_s - _EPSILON_S:
                    self.fail(f"{model}: {plan.source} has moved out, and {model.active or model.expected} is to come")
                self._outlives(model)
        for model in self.live.values():
            if model.process is plan.source and model.goes_to is None and slot_of(model.id) in plan.targets:
                self.fail(f"{model}: is at {plan.source}, which says that all have left")

    def died(self, process: SimProcess) -> None:
        """With it what it had; nobody hears of that, nor of what it was asked."""
        self._has_somebody_died = True
        self._asks.clear()
        self._asked.clear()
        for model in self.sessions:
            if model.goes_to is process or (model.goes_to is None and model.process is process):
                self._lost(model, process)

    def _lost(self, model: SessionModel, process: SimProcess) -> None:
        """It has ended with a process."""
        run = self._active.get(self.key_of(model))
        if run is not None and run.session is model:
            del self._active[self.key_of(model)]
        model.active = None
        model.expected.clear()
        model.is_between = False
        if model.state is CLOSED:
            return
        model.state = CLOSED
        model.goes_to = None
        model.process = process
        if self.live.get(model.id) is model:
            del self.live[model.id]
        for peer in model.peers:
            peer.owed_messages = 0
        for call in self.calls.waiting.values():
            if call.session is model and call.task is not None:
                call.task.cancel()

    # While nothing happens.

    def check_tables(self, processes: Iterable[SimProcess]) -> None:
        """Each session is in the table of its process, and of no other."""
        count = 0
        for session in self.live.values():
            if session.is_between:
                continue
            count += 1
            process = session.process
            if process is None or process.shard.sessions.get(session.id) is not session.real:
                self.fail(f"{session}: is not at {process}")
                return
            real = session.real
            transport = session.peer.transport if session.state is CONNECTED else None
            if real.state is not session.state or real.transport is not transport:
                self.fail(f"{session}: {session.state} for the model, {real.state} at {process}, with {real.transport}")
                return
            if session.state is CONNECTED and session.peer.unsent:
                self.fail(f"{session}: {session.peer.unsent!r} was not sent, and is not written again")
        found = sum(len(process.shard.sessions) for process in processes)
        if found != count:
            self.fail(f"the processes have {found} sessions, the model {sorted(self.live)}")
