"""What a runtime needs of the server that it serves: options, callbacks, and what a built-in application brings along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from wspulse.actors.mesh.message import PresenceReport, WatchRoom
from wspulse.actors.sessions.connection import Connection
from wspulse.actors.values.config import ServerOptions
from wspulse.actors.values.request import Request
from wspulse.actors.wire.handshake import Pages

__all__ = ["PresencePart", "Served"]

R_contra = TypeVar("R_contra", contravariant=True)
"""The runtime: a parameter, so that this file need not import it."""


class PresencePart(Protocol[R_contra]):
    """Who is in a room, kept by a part that lives as long as its worker and talks to its counterparts on the others."""

    def open(self, runtime: R_contra) -> None:
        """Serve this worker, from its start on."""

    def close(self) -> None: ...

    def receive(self, message: WatchRoom | PresenceReport) -> None:
        """Take what a counterpart tells."""

    def shard_up(self, shard: int, incarnation: int) -> None:
        """Another shard can be told something from now on."""

    def shard_down(self, shard: int, incarnation: int) -> None:
        """Another shard is gone, and its sessions with it."""


class Served(Protocol[R_contra]):
    """A declared server, as the runtime that serves it sees it."""

    options: ServerOptions
    handlers: dict[str, Callable[..., Any]]
    """Callback's name → callback, of those that are set."""
    start_handlers: list[Callable[[], Any]]
    stop_handlers: list[Callable[[], Any]]
    pages: Callable[[str], Pages] | None
    """WebSocket path → the pages of the server's own."""
    resumable: Callable[[Connection], bool] | None
    """Whose sessions have the resume window; None: all."""

    @property
    def presence(self) -> PresencePart[R_contra] | None: ...

    def checked_connect(self) -> Callable[[Request], Any]:
        """The connect handler. Raises ValueError when there is none."""

    def attach(self, runtime: R_contra) -> None:
        """A runtime starts. Raises RuntimeError when another one runs; once it has closed, another may start."""
