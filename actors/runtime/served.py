"""`Served`: what a runtime needs of the server that it serves: its options, its callbacks, and to tell it that it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from wspulse.actors.runtime.extension import Extension
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.request import Request

__all__ = ["Served"]

R_contra = TypeVar("R_contra", contravariant=True)
"""The runtime: a parameter, so that this file need not import it."""


class Served(Protocol[R_contra]):
    """A declared server, as the runtime that serves it sees it."""

    options: ServerOptions
    handlers: dict[str, Callable[..., Any]]
    """Callback's name → callback, of those that are set."""
    start_handlers: list[Callable[[], Any]]
    stop_handlers: list[Callable[[], Any]]
    _extensions: list[Extension]
    """No names of the server's that users see: these are for applications that ship."""

    def checked_connect(self) -> Callable[[Request], Any]:
        """The connect handler. Raises ValueError when there is none."""

    def attach(self, runtime: R_contra) -> None:
        """A runtime starts. Raises RuntimeError when another one runs; once it has closed, another may start."""
