"""The server's side of `scripts/soak`: it passes on what clients say in their rooms, and answers who asks."""

from __future__ import annotations

from wspulse import Connection, Frame, Server

__all__ = ["server"]

server = Server(
    lambda request: (request.query["room"], request.query["id"]),
    resume_window=30,
    on_duplicate="resume",
    max_message_size=65536,
    compression="deflate",
)


@server.on_connect
def begin(connection: Connection) -> None:
    # By this a client knows that its session is another one.
    connection.send_nowait(Frame("begun"))


@server.on_message
async def pass_on(connection: Connection, frame: Frame) -> None:
    if frame.event == "ask":
        connection.send_nowait(frame)
    else:
        await server.broadcast(connection.room_id, frame)
