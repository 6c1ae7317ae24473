"""`Presence`: tells connections that asked for it who is in their room, over all workers of all hosts.

One per worker: an extension of its server (of the built-in applications, of `relay`), opened by the runtime. It hears of
sessions through the application's callbacks and talks to its counterparts on the other workers, those of other hosts included
(`cluster.far`); what it tells are ordinary frames, sent to the *watchers* alone: connected sessions that asked. Where nobody in a
room asked, on any worker, an arrival costs one look into a dict.

A worker with watchers of a room keeps a mirror of the room's members. It asks every other worker to report the room,
which answers with a snapshot and from then on with every change, in order, on one stream. Reports say how a session is now
and not what happened to it, so one that comes twice changes nothing; what happened follows from the mirror. A worker that
dies takes its part of the mirror along; its replacement is asked anew. Changes are gathered for 50 ms and told as one frame.
A member that moves to another process neither goes nor comes; a watcher that moves gets the whole list from its next worker, once
that has heard of all the others. Where there are several hosts, each "worker" has its "host" beside it.

    presence.you      {"id", "worker", "workers", "resumed", "window_s"}   first, and again after each resume
    presence.room     {"count", "members": [{"id", "worker", "state"}]}    then, and after whatever was missed
    presence.changes  {"count", "changes": [{"what", "id", "worker"}]}     what: came, went, dropped, resumed; moved, with state
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec

from wspulse.actors.apps.counterparts import Counterparts, place_of
from wspulse.actors.apps.watched_room import Place, State, WatchedRoom
from wspulse.actors.mesh.message import PresenceReport, WatchRoom
from wspulse.actors.runtime.extension import Extended, Extension
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.sessions.session import Session
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.sessions.state import SessionState
from wspulse.actors.values.errors import ConnectionClosedError, SendBufferFullError
from wspulse.actors.values.frame import Frame

__all__ = ["LISTED_MEMBERS", "Presence"]

GATHER_S = 0.05
"""A person does not notice it, and a thousand arrivals in a second make 20 frames per watcher instead of a thousand."""

RETRY_S = 1.0
"""When a watcher whose send buffer was full is tried again."""

LOST_S = 2.5
"""Between two looks for members that were under way to another worker and have not arrived, which takes milliseconds."""

PATIENCE_S = 1.0
"""How long a watcher that has moved, or has others on other hosts, waits for its list where a worker does not say whom it has."""

LISTED_MEMBERS = 500
"""More than a person reads, and as many as one frame says; `count` counts all."""


class Presence(Extension):
    """See the module. `asked(connection)` says whether a connection asked."""

    def __init__(self, asked: Callable[[Connection], bool]) -> None:
        self._asked = asked
        self._rooms: dict[str, WatchedRoom] = {}
        self._news: dict[str, WatchedRoom] = {}
        """Those of them where something is to be told."""
        self._timer: asyncio.TimerHandle | None = None
        self._retries: dict[str, asyncio.TimerHandle] = {}
        """By room: when watchers that took nothing are told again."""
        self._looking: asyncio.TimerHandle | None = None
        """While members may be lost on their way."""
        self._hurried: dict[str, WatchedRoom] = {}
        """Rooms that some have left for another process."""
        self._up: dict[int, int] = {}
        """Seat → incarnation of the others that can be told something."""
        self._places: dict[int, Place] = {}
        """Of the worker at each seat, of all that have reported."""
        self._runtime: Extended
        self._shard: Shard
        self._others: Counterparts

    def open(self, runtime: Extended) -> None:
        self._runtime = runtime
        self._shard = runtime.shard
        self._others = Counterparts(runtime)
        self._places[self._shard.seat] = self._others.own_place

    def close(self) -> None:
        for timer in (self._timer, self._looking, *self._retries.values()):
            if timer is not None:
                timer.cancel()
        self._timer = self._looking = None
        self._retries.clear()
        self._rooms.clear()
        self._news.clear()

    # What the application's callbacks tell.

    def connected(self, connection: Connection) -> None:
        """A session began: on_connect."""
        self._appear(connection, resumed=False)

    def resumed(self, connection: Connection) -> None:
        """A session has a transport again: on_transport_restore."""
        self._appear(connection, resumed=True)

    def suspended(self, connection: Connection, _error: BaseException | None) -> None:
        """A session lost its transport: on_transport_drop.

        What a watcher misses until it resumes it gets as one list then; its send buffer is left to what the room says.
        """
        self._note(connection, "suspended")
        self._unwatch(connection)

    def gone(self, connection: Connection, _error: BaseException | None) -> None:
        """A session ended: on_disconnect."""
        self._note(connection, "gone")
        self._unwatch(connection)

    # What the runtime tells.

    def departed(self, connection: Connection) -> None:
        """A session has left for another process. The others hear it before this one can end."""
        if (room := self._rooms.get(connection.room_id)) is None:
            return
        self._note(connection, "moved")
        if not self._hurried:
            self._shard.loop.call_soon(self._report_departures, context=self._shard.context)
        self._hurried[connection.room_id] = room
        if room.watchers:
            self._look_for_lost()
        self._unwatch(connection)

    def arrived(self, connection: Connection) -> None:
        """A session has come from another process."""
        session = self._shard.sessions[connection.id]
        is_connected = session.state is SessionState.CONNECTED
        self._note(connection, "connected" if is_connected else "suspended")
        if is_connected and self._asked(connection):
            room = self._room(connection.room_id)
            if not room.watchers:
                room.patient_until = self._shard.loop.time() + PATIENCE_S
            if connection not in room.watchers:
                self._watched(session, room)

    def _appear(self, connection: Connection, *, resumed: bool) -> None:
        self._note(connection, "connected")
        session = self._shard.sessions.get(connection.id)
        if session is None or session.connection is not connection or session.transport is None:
            return  # ended or dropped again meanwhile; that callback is on its way
        if self._asked(connection):
            self._watch(session, resumed)

    def _note(self, connection: Connection, state: State) -> None:
        room = self._rooms.get(connection.room_id)
        if room is None:
            return
        if room.reporting_to:
            room.unreported.append((connection.id, state))
        if room.watchers:
            room.note(self._shard.seat, connection.id, state)
        self._tell_soon(connection.room_id, room)

    # Watchers.

    def _watch(self, session: Session, resumed: bool) -> None:
        options = self._shard.options
        self._send(
            session,
            "presence.you",
            {
                "id": session.id,
                **self._places[self._shard.seat],
                "workers": self._runtime.workers,
                "resumed": resumed,
                "window_s": options.resume_window,
            },
        )
        self._watched(session, self._room(session.room.id))

    def _watched(self, session: Session, room: WatchedRoom) -> None:
        """Have it told of its room, all of it first."""
        room_id = session.room.id
        if not room.watchers:
            room.note_all(self._shard.seat, self._snapshot(room_id))
            room.awaited.update(dict.fromkeys(self._up))
            if self._others.are_far:
                room.patient_until = self._shard.loop.time() + PATIENCE_S
            self._others.watch(room_id, watching=True)
        room.watchers[session.connection] = session
        room.behind[session.connection] = session
        self._tell_soon(room_id, room)

    def _room(self, room_id: str) -> WatchedRoom:
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = WatchedRoom(self._places)
        return room

    def _unwatch(self, connection: Connection) -> None:
        room_id = connection.room_id
        room = self._rooms.get(room_id)
        if room is None or room.watchers.pop(connection, None) is None:
            return
        room.behind.pop(connection, None)
        if not room.watchers:
            room.unwatched()
            self._others.watch(room_id, watching=False)
            self._forget_if_unwatched(room_id, room)

    def _forget_if_unwatched(self, room_id: str, room: WatchedRoom) -> None:
        if not room.watchers and not room.reporting_to:
            self._rooms.pop(room_id, None)

    def _snapshot(self, room_id: str) -> list[tuple[str, State]]:
        shard = self._shard
        room = shard.rooms.get(room_id)
        sessions = [] if room is None else list(room.members())
        if shard.transit is not None:
            sessions += shard.transit.between(room_id)
        return [
            (session.id, "suspended" if session.state is SessionState.SUSPENDED else "connected")
            for session in sessions
            if session.room.id == room_id  # an operator may have had others join it
        ]

    # The other workers.

    def receive(self, message: WatchRoom | PresenceReport) -> None:
        """What a counterpart tells."""
        match message:
            case WatchRoom():
                self._be_asked(message)
            case PresenceReport():
                self._take_report(message)

    def shard_up(self, shard: int, incarnation: int) -> None:
        """Another shard can be told something from now on; what was told before may not have arrived."""
        self._up[shard] = incarnation
        for room_id, room in self._rooms.items():
            if room.watchers:
                self._others.tell_watching(shard, room_id, watching=True)
            if shard in room.reporting_to:
                self._others.report(shard, room_id, self._snapshot(room_id), complete=True)

    def shard_down(self, shard: int, incarnation: int) -> None:
        """Another shard is gone, and its sessions with it."""
        if self._up.get(shard) == incarnation:
            del self._up[shard]
        for room_id, room in list(self._rooms.items()):
            if room.incarnations.get(shard) == incarnation:
                del room.incarnations[shard]
                room.awaited.pop(shard, None)
                room.note_all(shard, [])
                self._tell_soon(room_id, room)
            if room.reporting_to.get(shard) == incarnation:
                del room.reporting_to[shard]
                self._forget_if_unwatched(room_id, room)

    def _be_asked(self, message: WatchRoom) -> None:
        room_id, shard = message.room_id, message.shard
        room = self._rooms.get(room_id)
        if message.watching:
            room = self._room(room_id)
            room.reporting_to[shard] = message.incarnation
            self._others.report(shard, room_id, self._snapshot(room_id), complete=True)
        elif room is not None and room.reporting_to.get(shard, message.incarnation + 1) <= message.incarnation:
            # Of an earlier incarnation a word may have been read after its end.
            del room.reporting_to[shard]
            self._forget_if_unwatched(room_id, room)

    def _take_report(self, message: PresenceReport) -> None:
        room = self._rooms.get(message.room_id)
        if room is None or not room.watchers:
            self._others.tell_watching(message.shard, message.room_id, watching=False)  # it may not have heard
            return
        known = room.incarnations.get(message.shard, 0)
        # What the last incarnation said may be read after the first words of its replacement. And changes mean something
        # only behind the snapshot that they change.
        if message.incarnation < known or (not message.is_complete and message.incarnation != known):
            return
        room.incarnations[message.shard] = message.incarnation
        self._places[message.shard] = place_of(message.worker, message.host)
        if message.is_complete:
            room.awaited.pop(message.shard, None)
            # Of one that it has no more, what it said of that may have been lost: it may have moved.
            absent: State = "moved" if message.incarnation == known else "gone"
            room.note_all(message.shard, message.states, absent)
            if absent == "moved":
                self._look_for_lost()
        else:
            for connection_id, state in message.states:
                room.note(message.shard, connection_id, state)
                if state == "moved":
                    self._look_for_lost()
        self._tell_soon(message.room_id, room)

    def _report(self, room_id: str, room: WatchedRoom) -> None:
        """Tell the others what has changed here."""
        states, room.unreported = room.unreported, []
        if states:
            for shard in room.reporting_to:
                self._others.report(shard, room_id, states, complete=False)

    def _report_departures(self) -> None:
        rooms, self._hurried = self._hurried, {}
        for room_id, room in rooms.items():
            self._report(room_id, room)

    def _look_for_lost(self) -> None:
        """Have looked whether members that are under way arrive."""
        if self._looking is None:
            self._looking = self._shard.loop.call_later(LOST_S, self._look, context=self._shard.context)

    def _look(self) -> None:
        self._looking = None
        for room_id, room in self._rooms.items():
            if room.look_for_lost():
                self._look_for_lost()
            if room.changes:
                self._tell_soon(room_id, room)

    # Telling.

    def _tell_soon(self, room_id: str, room: WatchedRoom) -> None:
        self._news[room_id] = room
        if self._timer is None:
            self._timer = self._shard.loop.call_later(GATHER_S, self._tell_all, context=self._shard.context)

    def _tell_all(self) -> None:
        self._timer = None
        rooms, self._news = self._news, {}
        now = self._shard.loop.time()
        for room_id, room in rooms.items():
            self._report(room_id, room)
            if room.awaited and now < room.patient_until:
                self._tell_soon(room_id, room)
                continue
            self._tell_watchers(room)
            if room.behind and room_id not in self._retries:
                loop, context = self._shard.loop, self._shard.context
                self._retries[room_id] = loop.call_later(RETRY_S, self._retry, room_id, context=context)

    def _retry(self, room_id: str) -> None:
        del self._retries[room_id]
        room = self._rooms.get(room_id)
        if room is not None and room.behind:
            self._tell_soon(room_id, room)

    def _tell_watchers(self, room: WatchedRoom) -> None:
        changes, room.changes = room.changes, []
        count = len(room.members)
        if len(changes) > LISTED_MEMBERS:
            room.behind = dict(room.watchers)
        elif changes:
            wire = self._encoded("presence.changes", {"count": count, "changes": changes})
            for connection, session in room.watchers.items():
                if connection not in room.behind and not _sent(session, wire):
                    room.behind[connection] = session
        if room.behind:
            members = [
                {"id": connection_id, **room.place_of(connection_id), "state": state}
                for connection_id, (_, state) in islice(room.members.items(), LISTED_MEMBERS)
            ]
            wire = self._encoded("presence.room", {"count": count, "members": members})
            room.behind = {each: session for each, session in room.behind.items() if not _sent(session, wire)}

    def _send(self, session: Session, event: str, payload: Any) -> None:
        _sent(session, self._encoded(event, payload))

    def _encoded(self, event: str, payload: Any) -> bytes:
        frame = Frame(event, payload)
        if self._shard.keeps_kind:
            # A codec without frames (raw): the message is what JSON would have made of it.
            frame = Frame("", msgspec.json.encode(frame).decode())
        return self._shard.encode(frame)


def _sent(session: Session, wire: bytes) -> bool:
    """Queue it. False where the watcher takes nothing for now."""
    try:
        session.send(wire)
    except SendBufferFullError:
        return False
    except ConnectionClosedError:
        pass  # its last callback is on its way
    return True
