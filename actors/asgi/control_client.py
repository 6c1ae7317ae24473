"""`ControlClient`: what a server that is reached over a control socket needs of the client to it.

The client lives in the other half of the package, which may use this one and not the other way round; `wspulse` itself
brings them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from wspulse.actors.values.frame import Frame

__all__ = ["ControlClient", "ListedConnection", "ListedConnections"]


class ListedConnection(Protocol):
    """A connection as the control socket lists it."""

    @property
    def id(self) -> str: ...

    @property
    def room(self) -> str: ...

    @property
    def rooms(self) -> tuple[str, ...]: ...

    @property
    def state(self) -> str:
        """That of the session: "connected" or "suspended"."""

    @property
    def queued(self) -> int: ...


class ListedConnections(Protocol):
    """A list of them, as far as it goes."""

    @property
    def missing_shards(self) -> Sequence[int]:
        """Those that are alive and did not answer."""

    def __iter__(self) -> Iterator[ListedConnection]: ...


class ListedMember(Protocol):
    """One session of a room, as the control socket tells of it."""

    @property
    def id(self) -> str: ...

    @property
    def rooms(self) -> tuple[str, ...]: ...

    @property
    def state(self) -> dict[str, Any]: ...

    @property
    def suspended(self) -> bool: ...

    @property
    def since(self) -> float: ...

    @property
    def shard(self) -> int: ...


class ListedMembers(Protocol):
    @property
    def missing_shards(self) -> Sequence[int]:
        """Those that are alive and did not answer."""

    def __iter__(self) -> Iterator[ListedMember]: ...


class ControlClient(Protocol):
    """A client of one control endpoint, in one event loop. Its coroutines raise ControlError."""

    def __init__(self, endpoint: str) -> None: ...

    async def ping(self) -> Any: ...

    async def send(self, connection: str, frame: Frame) -> None: ...

    async def broadcast(self, room: str, frame: Frame, exclude: Iterable[str] = ...) -> None: ...

    async def kick(self, connection: str, code: int = 1000, reason: str = "kicked") -> None: ...

    async def join(self, connection: str, room: str) -> None: ...

    async def leave(self, connection: str, room: str) -> None: ...

    async def presence(self, room: str) -> ListedMembers: ...

    async def connections(self, room: str | None = None) -> ListedConnections: ...

    def close(self) -> None: ...
