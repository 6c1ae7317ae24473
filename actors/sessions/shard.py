"""`Shard`: the actor that owns the sessions of its slots, their rooms and their deadlines.

One per worker, created by the runtime. Everything that decides about a session (register, resume, duplicate, kick, close,
expiry) is one step here, without an await in it, so that no two of them race, whichever worker they came from. It talks to
transports (socket shells), to the bus, and through callbacks to the application; it opens no socket and starts no process.
"""

from __future__ import annotations

import asyncio
import time
from _thread import get_ident
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextvars import copy_context
from typing import Any

from wspulse.actors.bus.contract import Bus
from wspulse.actors.journal.journal import Journal
from wspulse.actors.limits.places import Places
from wspulse.actors.mesh.message import ConnectionRecord
from wspulse.actors.sessions.admission import Admission
from wspulse.actors.sessions.connections.connection import Connection, is_own_end
from wspulse.actors.sessions.connections.local_connection import LocalConnection
from wspulse.actors.sessions.connections.snapshot import snapshot
from wspulse.actors.sessions.exact.frames import ExactFrames
from wspulse.actors.sessions.exact.session import ExactSession
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.inbox import Inbox
from wspulse.actors.sessions.inbox_contract import Predecessor
from wspulse.actors.sessions.patience.cancellations import Cancellations
from wspulse.actors.sessions.room import Room
from wspulse.actors.sessions.rooms.membership import add_room
from wspulse.actors.sessions.rooms.table import RoomTable
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.session_contract import Flushable
from wspulse.actors.sessions.state import ENDINGS, SessionEvent, SessionState
from wspulse.actors.sessions.ticker import Ticker
from wspulse.actors.sessions.transfer.halting import Aborting, Halting
from wspulse.actors.sessions.transfer.transit import Transit
from wspulse.actors.transport.compression.choice import TransportTypes
from wspulse.actors.transport.contract import Ending
from wspulse.actors.transport.transport import Transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.transport.writing import Writing
from wspulse.actors.values.close_code import CloseReason
from wspulse.actors.values.codec import JSONCodec, MsgpackCodec, decoding_lanes
from wspulse.actors.values.errors import ConnectionNotFoundError, ProtocolError, text_of
from wspulse.actors.values.log_limit import LogLimit
from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.text.exact import SUBPROTOCOL
from wspulse.actors.wire.encoder import wire_encoder

__all__ = ["CANCELLED_S", "Shard"]

CANCELLED_S = 1.0
"""How long handlers may take over their cancellation when the shard ends."""


class Shard:
    """See the module. `real_time` is in seconds and monotonic; `loop` is only asked for call_soon, call_later and tasks."""

    def __init__(
        self,
        *,
        index: int,
        seat: int | None = None,
        incarnation: int,
        origin: int | None = None,
        options: ServerOptions,
        handlers: Handlers,
        loop: asyncio.AbstractEventLoop,
        real_time: Callable[[], float],
    ) -> None:
        self.index = index
        """The number by which people know this worker: a name, which a replacement has as well."""
        self.seat = index if seat is None else seat
        """Where other processes reach this one."""
        self.incarnation = incarnation
        self.origin = incarnation if origin is None else origin
        """What the birth keys of its sessions and its broadcasts bear: the incarnation, or where there are several hosts a random
        number that no other process of any of them has."""
        self.options = options
        self.handlers = handlers
        self.loop = loop
        self.thread = get_ident()
        """The loop's, in which alone this shard and its sessions may be touched."""
        self.context = copy_context()
        """What the loop calls of the shard runs in this one: that of a handler would be kept, and with it its session."""
        self._ticker = Ticker(loop, real_time, options.logger, self.context)
        self.clock = self._ticker.clock
        """Seconds in which this shard could serve."""
        self.at = self._ticker.at
        self.metrics = Metrics()
        self.journal = Journal(options.logger, self.metrics, self.clock, wants_access_log=options.access_log)
        self.encode = wire_encoder(options.codec)
        """A frame in wire form: a whole WebSocket message. Raises what the codec raises."""
        self.decode, self.decode_refused = decoding_lanes(options.codec)
        self.has_exact_sessions = isinstance(options.codec, (JSONCodec, MsgpackCodec))
        self.exact_frames = ExactFrames(options)
        self.keeps_kind = options.codec.binary is None
        self.wants_text = options.codec.binary is False
        self.large_frame_bytes = options.send_buffer_bytes // options.send_buffer_size
        """What is written at once: smaller frames are, all those of a turn together, no more than a send buffer holds."""
        self.writing = Writing()
        self.transport_types = TransportTypes(options)
        self.places: Places | None = None
        """Decides who may have a connection here, if there is a limit."""
        self.bus: Bus
        self.sessions: dict[str, Session] = {}
        self.room_table = RoomTable(self)
        self.rooms = self.room_table.rooms
        self.deliver, self.deliver_but = self.room_table.deliver, self.room_table.deliver_but
        self.closing = False
        self.aborting = False
        self.halting: Aborting | Halting | None = None
        self.transit: Transit | None = None
        """While sessions move out of this shard or into it: who knows where those are that it does not have."""
        self.events: Callable[[str, Session, BaseException | None], None] | None = None
        """Told of what happens to sessions, while somebody listens."""
        self.resumable: Callable[[Connection], bool] | None = None
        """Whose sessions have the resume window; None: all."""
        self.outcome: Callable[[BaseException], None] | None = None
        """Given what the application raised that is no Exception, for those who run the server."""
        self.id_finished: Callable[[str, tuple[int, int]], None] | None = None
        """Told, where there are several hosts, that the last callback of a session has run."""
        self.id_left: Callable[[str], None] | None = None
        """Told there that a session is another process's."""
        self.finishing: dict[str, Predecessor[Inbox]] = {}
        self.unfinished: set[Inbox] = set()
        self._ending: dict[Ending, None] = {}
        self._quiet: list[tuple[asyncio.Future[None], Collection[Inbox]]] = []
        self.working: dict[Inbox, asyncio.Task[None]] = {}
        """The tasks of sessions whose async handlers run; each takes itself out at its end, which spares it a callback."""
        self.cancellations = Cancellations(
            loop, self.context, self.clock, self.at, self.working, self.journal.handler_refuses
        )
        self._dirty: list[Flushable] = []
        self._serial = 0
        self._undecodable_log = LogLimit()
        self.admission = Admission(self)

    # Sessions.

    def next_serial(self) -> int:
        """Of the next session that begins here, or of one that may."""
        self._serial += 1
        return self._serial

    def new_session(
        self, transport: Transport, upgrade: Upgrade, room: Room[Session], further: Iterable[Room[Session]]
    ) -> None:
        """Begin the session of a newcomer whose 101 is written; the further rooms were entered for it."""
        serial = upgrade.serial or self.next_serial()
        session: Session
        if upgrade.subprotocol == SUBPROTOCOL and self.has_exact_sessions:
            frames = self.exact_frames
            session = ExactSession(self, upgrade.connection_id, room, serial, time.time(), frames)
        else:
            session = Session(self, upgrade.connection_id, room, serial, time.time())
        session.inbox.connection = LocalConnection(session, upgrade)
        session.resumes = upgrade.resume
        self.sessions[session.id] = session
        self.unfinished.add(session.inbox)
        predecessor = self.finishing.get(session.id)
        if predecessor is not None:
            session.inbox.wait_for(predecessor)
        session.attach(transport)
        for other in further:
            add_room(session, other)
        self.publish_event("connect", session)
        if self.handlers.on_connect is not None:
            session.inbox.post("on_connect")

    # What transports report.

    def transport_ending(self, transport: Ending) -> None:
        """The last words are said; the shard is not quiet before the socket has ended."""
        self._ending[transport] = None

    def transport_gone(self, transport: Ending) -> None:
        self._ending.pop(transport, None)
        if self.journal.access is not None:
            self.journal.access.gone(transport)
        if self.places is not None:
            self.places.leave(transport)
        self.look_if_quiet()

    def transport_left(self, transport: Transport) -> tuple[float, int, int] | None:
        access = self.journal.access
        return None if access is None else access.left(transport)

    # What sessions report.

    def start_window(self, session: Session, window_s: float) -> None:
        epoch = session.epoch
        session.window_ends = self.clock() + window_s

        def end(_now: float) -> None:
            # A resume, kick or close in the same instant has raised the epoch.
            if session.epoch == epoch:
                session.apply(SessionEvent.EXPIRE)

        self.at(session.window_ends, end)

    def session_ended(self, session: Session, event: SessionEvent) -> None:
        """Out of the table and its rooms; its callbacks are still on their way."""
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
        session.room.remove(session)
        self.room_table.look_at(session.room)
        if session.further is not None:
            session.further.end(session.id)
        self.finishing[session.id] = session.inbox
        self.journal.session_ended(ENDINGS.get(event), session.error)
        self.publish_event("disconnect", session, session.error)

    def session_finished(self, inbox: Inbox) -> None:
        """A session's last callback has run."""
        connection_id = inbox.connection.id
        if self.finishing.get(connection_id) is inbox:
            del self.finishing[connection_id]
        self.unfinished.discard(inbox)
        if self.id_finished is not None:
            self.id_finished(connection_id, inbox.key)
        successor, inbox.successor = inbox.successor, None
        if successor is not None:
            successor.predecessor_finished()
        self.look_if_quiet()

    def callback_raised(self, connection: Connection, kind: str, error: BaseException) -> bool:
        if is_own_end(error, connection):
            self.journal.outlived(kind, connection.id)
            return False
        self.journal.callback_raised(kind, connection.id, connection.room_id, error)
        self.pass_on(error)
        return True

    def undecodable(self, connection: Connection, error: BaseException) -> None:
        self.metrics.frames_undecodable += 1
        suppressed = self._undecodable_log.admit(self.clock())
        if suppressed is not None:
            self.options.logger.warning(
                "a message could not be decoded and was dropped",
                extra={
                    "connection_id": connection.id,
                    "reason": f"{type(error).__name__}: {text_of(error)}",
                    "not_logged": suppressed,
                },
            )
        self.pass_on(error)

    def pass_on(self, error: BaseException) -> None:
        """What the application raised that is no Exception is not the worker's end; it goes to whoever runs the server."""
        if self.outcome is not None and not isinstance(error, Exception):
            self.outcome(error)

    def rest_dropped(self, connection: Connection) -> None:
        self.journal.rest_dropped(connection.id)

    def answer_dropped(self, connection: Connection) -> None:
        self.journal.answer_dropped(connection.id)

    def peer_cut(self, why: str, connection_id: str) -> None:
        self.journal.peer_cut(why, connection_id)

    def protocol_broken(self, connection_id: str, error: ProtocolError) -> None:
        self.journal.protocol_broken(connection_id, error, self.options.max_message_size)

    def publish_event(self, kind: str, session: Session, error: BaseException | None = None) -> None:
        if self.events is not None:
            self.events(kind, session, error)

    # Orders.

    def find(self, connection_id: str, key: tuple[int, int] | None = None) -> Session:
        """The session of an id, or exactly the one that has this birth key. Raises ConnectionNotFoundError; while sessions move,
        SessionMovedError and InTransitError."""
        session = self.sessions.get(connection_id)
        if session is None or (key is not None and key != session.key):
            if self.transit is not None:
                self.transit.missing(connection_id, key)
            raise ConnectionNotFoundError(connection_id)
        return session

    def kick(self, connection_id: str, code: int = 1000, reason: str = "kicked") -> None:
        """Raises ConnectionNotFoundError."""
        close = CloseReason.KICK._replace(code=code, reason=reason)
        self.find(connection_id).apply(SessionEvent.KICK, close=close)

    def close_session(self, session: Session, code: int = 1000, reason: str = "") -> None:
        """End it as `connection.close()` does; a session that has ended stays as it is."""
        if session.state is not SessionState.CLOSED:
            # Broadcasts of this loop turn are queued for it too, and what is queued is sent first.
            session.flush_rooms()
            session.apply(SessionEvent.CLOSE, close=CloseReason.CLOSE._replace(code=code, reason=reason))

    def members(self, room_id: str | None) -> list[Session]:
        """The sessions of one room or of all, those between this process and another included."""
        room = None if room_id is None else self.rooms.get(room_id)
        found = room.members() if room is not None else list(self.sessions.values()) if room_id is None else []
        return found if self.transit is None else [*found, *self.transit.between(room_id)]

    def records(self, room_id: str | None, *, with_state: bool = False) -> list[ConnectionRecord]:
        """A snapshot of the sessions of one room or of all, suspended ones included. Of the application's state goes with it what
        msgpack can express."""
        sessions = self.members(room_id)
        if self.transit is not None:
            sessions += self.transit.coming(room_id)
        return [snapshot(session, self.index, with_state=with_state) for session in sessions]

    def close_all(self, close: Callable[[Session], object]) -> None:
        """Refuse newcomers, and have every session closed."""
        self.closing = self.journal.is_ending = True
        self.admission.refuse_all(503, "server is shutting down")
        for session in list(self.sessions.values()):
            close(session)

    async def quiet(self, exempt: Collection[Inbox] = ()) -> None:
        """Wait until every callback has run and every transport is gone.

        Not waited for are the callbacks of the sessions in `exempt` (which may grow meanwhile; `look_if_quiet` then), nor
        those of newer sessions of their ids, which wait for them.
        """
        future: asyncio.Future[None] = self.loop.create_future()
        entry = future, exempt
        self._quiet.append(entry)
        self.look_if_quiet()
        try:
            await future
        finally:
            if entry in self._quiet:
                # Whoever waited has given up.
                self._quiet.remove(entry)

    def look_if_quiet(self) -> None:
        """End the wait of `quiet` if there is nothing left to wait for."""
        if not self._quiet or self._ending:
            return
        for entry in list(self._quiet):
            future, exempt = entry
            if self.unfinished <= _with_successors(exempt):
                self._quiet.remove(entry)
                if not future.done():
                    future.set_result(None)

    async def abort(self) -> None:
        """Drop every transport and cancel every handler that still runs: the end of patience. They have a second for that."""
        self.aborting = True
        self.halting = Aborting()
        for transport in [*self._ending, *self.admission.newcomers]:
            transport.abort()
        try:
            # A handler that was called and never begins would warn that nobody awaited it.
            await asyncio.sleep(0)
        finally:
            tasks = list(self.working.values())
            for task in tasks:
                task.cancel()
            self._ticker.stop()
        if tasks:
            _, refusing = await asyncio.wait(tasks, timeout=CANCELLED_S)
            if refusing:
                self.options.logger.error("handlers do not react to being cancelled", extra={"handlers": len(refusing)})

    # The loop.

    def spawn(self, inbox: Inbox, work: Coroutine[Any, Any, None]) -> None:
        """Run a session's async handlers in a task; the shard holds it."""
        loop = self.loop
        if loop.get_task_factory() is None:
            # As the loop does it, but for a number in the name of each, which costs 0.2 µs.
            task = asyncio.Task(work, loop=loop, name="wspulse session", context=inbox.context)
        else:
            task = loop.create_task(work, context=inbox.context)
        if not task.done():
            self.working[inbox] = task

    def schedule(self, item: Flushable) -> None:
        """Have `item.flush()` called at the end of this loop turn."""
        dirty = self._dirty
        dirty.append(item)
        if len(dirty) == 1:
            self.loop.call_soon(self._turn_ended, context=self.context)

    def _turn_ended(self) -> None:
        dirty, self._dirty = self._dirty, []
        for item in dirty:
            item.flush()


def _with_successors(inboxes: Collection[Inbox]) -> set[Inbox]:
    """Those of sessions, and of the sessions of the same ids whose callbacks wait for their last ones."""
    found = set()
    for inbox in inboxes:
        following: Inbox | None = inbox
        while following is not None:
            found.add(following)
            following = following.successor
    return found
