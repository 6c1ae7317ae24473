"""The applications under measurement that are not built in."""

from __future__ import annotations

from wspulse import Connection, Frame, Request, Server

__all__ = ["async_echo", "shout"]


def _identify(request: Request) -> tuple[str, str]:
    return request.query.get("room", "lobby"), request.query.get("id", "")


async_echo = Server(_identify)


@async_echo.on_message
async def _echo(connection: Connection, frame: Frame) -> None:
    await connection.send(frame)


shout = Server(_identify)
"""A relay that waits for nothing."""


@shout.on_message
def _shout(connection: Connection, frame: Frame) -> None:
    shout.broadcast_nowait(connection.room_id, frame)
