"""`Accept`: what `connect` may return where a room and an id do not say enough.

Made by the application; `identity` takes it apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wspulse.actors.values.text.headers import Headers, checked_headers, is_token
from wspulse.actors.values.text.ids import checked_room_id

__all__ = ["Accept"]


class Accept:
    """Admits a client: `room_id`, `connection_id` and `state` mean what they mean in a tuple.

    `rooms` are joined too, before the 101, as by `connection.join`: with `rooms=[f"user:{name}"]` one broadcast reaches all
    tabs of a user. A session that resumes keeps the rooms that it has. `headers` are added to the 101, such as Set-Cookie.
    `subprotocol` is the one to choose, which the client must have offered. With `resume=False` the session has no resume
    window, whatever the server's is. Raises TypeError and ValueError for what cannot be sent.
    """

    __slots__ = ("connection_id", "headers", "resume", "room_id", "rooms", "state", "subprotocol")

    def __init__(
        self,
        room_id: str,
        connection_id: str = "",
        *,
        rooms: Iterable[str] = (),
        state: dict[str, Any] | None = None,
        headers: Headers = (),
        subprotocol: str | None = None,
        resume: bool = True,
    ) -> None:
        self.room_id = room_id
        self.connection_id = connection_id
        self.rooms = _checked_rooms(rooms)
        self.state = state
        self.headers = checked_headers(headers, "Accept")
        if subprotocol is not None and not is_token(subprotocol):
            raise ValueError(
                f"wspulse: Accept: subprotocol is {subprotocol!r}; allowed is a token, as RFC 6455 names it"
            )
        self.subprotocol = subprotocol
        self.resume = _checked_bool(resume)


def _checked_rooms(rooms: object) -> tuple[str, ...]:
    if isinstance(rooms, (str, bytes)) or not isinstance(rooms, Iterable):
        raise TypeError(f"wspulse: Accept: rooms is {rooms!r}; allowed is a list of room ids")
    return tuple(map(checked_room_id, rooms))


def _checked_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"wspulse: Accept: resume is {value!r}; allowed is True or False")
    return value
