"""`snapshot`: how a session is at this moment, as a value that goes to whoever lists sessions."""

from __future__ import annotations

from wspulse.actors.mesh.message import ConnectionRecord
from wspulse.actors.sessions.connections.expressible import expressible
from wspulse.actors.sessions.rooms.membership import rooms_of
from wspulse.actors.sessions.session import Session

__all__ = ["snapshot"]


def snapshot(session: Session, worker: int, *, with_state: bool = False) -> ConnectionRecord:
    """`worker` is the name of the one in which it lives. Of the application's state goes with it what msgpack can express."""
    rooms = rooms_of(session)
    connection = session.connection
    return ConnectionRecord(
        session.id,
        rooms[0],
        worker,
        *session.key,
        session.state.value,
        session.connected_at,
        session.queued_frames,
        connection.subprotocol,
        connection.latency_s,
        expressible(connection.state) if with_state else None,
        rooms[1:],
    )
