"""`Backlog`: what happened to connections and waits to be told to one program, or until there is one; in its order.

Made by the desk for each program, and for the time when there is none. It holds little of what need not be told: a connection
that came and went untold, a drop and the return from it. What stays is bounded by the connections that live, and by the ends of
those that a program was told of, and of those that said something before they went; the desk bounds these. No I/O.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from wspulse.actors.mesh.message import BridgeFrame

__all__ = ["Backlog", "Happening"]

_OPPOSITE = {"dropped": "restored", "restored": "dropped"}


class Told(Protocol):
    """What a backlog knows of a connection."""

    is_told: bool
    """Whether some program was told of it."""
    waiting: list[Happening[Any]]
    """What is to be told of it, in its order: a handful at most, since its worker waits until its frame has gone out."""


C = TypeVar("C", bound=Told)


@dataclass(slots=True, eq=False)
class Happening(Generic[C]):
    """Something that happened to a connection, which its program is to be told."""

    connection: C
    op: str
    args: dict[str, Any] = field(default_factory=dict)
    frame: BridgeFrame | None = None
    tickets: tuple[int, ...] = ()
    """Of a frame: by what the desk's owner knows who waits until it is sent."""

    @property
    def is_adoption(self) -> bool:
        return self.op == "connected" and bool(self.args["adopted"])


class Backlog(Generic[C]):
    """See the module. `len()` counts happenings, and iterating gives them in their order."""

    __slots__ = ("_ended", "_left", "_waiting", "left_bytes")

    def __init__(self) -> None:
        self._waiting: OrderedDict[Happening[C], None] = OrderedDict()
        self._ended: OrderedDict[C, None] = OrderedDict()
        """Connections of whose end is to be told, in the order of their ends."""
        self._left: OrderedDict[Happening[C], int] = OrderedDict()
        """Frames of these, with the size of each."""
        self.left_bytes = 0
        """Of the frames of connections that have ended."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Happening[C]]:
        return iter(self._waiting)

    @property
    def ended(self) -> int:
        """Connections of whose end is to be told."""
        return len(self._ended)

    @property
    def first(self) -> Happening[C]:
        return next(iter(self._waiting))

    def put(self, happening: Happening[C]) -> None:
        """Something happened, behind all that waits; or, with what waits of its connection, need not be told."""
        connection, op = happening.connection, happening.op
        waiting = connection.waiting
        if waiting and _OPPOSITE.get(op) == waiting[-1].op:
            self._remove(waiting[-1])
            return
        if op == "disconnected":
            frames = [each for each in waiting if each.frame is not None]
            if not connection.is_told and not frames:
                self._forget(connection)
                return
            self._ended[connection] = None
            for each in frames:
                self._left[each] = size_bytes = _size_bytes(each)
                self.left_bytes += size_bytes
        waiting.append(happening)
        self._waiting[happening] = None

    def take_first(self) -> Happening[C]:
        happening = self.first
        self._remove(happening)
        return happening

    def take_all(self) -> list[Happening[C]]:
        """All, for others, who put it into theirs."""
        happenings = list(self._waiting)
        for happening in happenings:
            happening.connection.waiting.clear()
        self._waiting.clear()
        self._ended.clear()
        self._left.clear()
        self.left_bytes = 0
        return happenings

    def forget_oldest_end(self) -> list[Happening[C]]:
        """Forget the connection whose end waits for the longest time; what it had said."""
        return self._forget(next(iter(self._ended)))

    def forget_oldest_frame(self) -> Happening[C]:
        """Forget the oldest frame of a connection that has ended, and with it one of which nobody was told."""
        happening = next(iter(self._left))
        connection = happening.connection
        self._remove(happening)
        if not connection.is_told and not any(each.frame is not None for each in connection.waiting):
            self._forget(connection)
        return happening

    def _forget(self, connection: C) -> list[Happening[C]]:
        """Nothing is to be told of a connection. Returns its frames."""
        waiting = list(connection.waiting)
        for happening in waiting:
            self._remove(happening)
        return [happening for happening in waiting if happening.frame is not None]

    def _remove(self, happening: Happening[C]) -> None:
        del self._waiting[happening]
        happening.connection.waiting.remove(happening)
        if happening.op == "disconnected":
            self._ended.pop(happening.connection, None)
        self.left_bytes -= self._left.pop(happening, 0)


def _size_bytes(happening: Happening[Any]) -> int:
    frame = happening.frame
    return 0 if frame is None else len(frame.payload) + len(frame.event) + len(frame.id)
