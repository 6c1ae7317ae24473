"""`Declaration`: what a user declares of a server: its options and its callbacks.

The part of `Server` that exists before anything runs: filled at import time, once per process, and read by the runtime that
serves it. It calls none of the callbacks and knows no loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from wspulse.actors.runtime.extension import Extension
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.request import Request

__all__ = ["Declaration"]

Handler = TypeVar("Handler", bound=Callable[..., Any])

_CALLBACKS = tuple(callback.name for callback in fields(Handlers))


class Declaration:
    """See the module. `given` is what `Server` was called with, by name: `connect`, callbacks and options."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        options: dict[str, Any] = {option.name: given[option.name] for option in fields(ServerOptions)}
        for option in ("codec", "logger", "subprotocols"):
            if options[option] is None:
                del options[option]
        self.options = ServerOptions(**options)
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.start_handlers: list[Callable[[], Any]] = []
        self.stop_handlers: list[Callable[[], Any]] = []
        self._extensions: list[Extension] = []
        self._connect: Callable[[Request], Any] | None = None
        if given["connect"] is not None:
            self.connect(given["connect"])
        for name in _CALLBACKS:
            if given[name] is not None:
                self._set(name, given[name])

    def connect(self, handler: Handler) -> Handler:
        """Set who may connect: `handler(request)` returns (room_id, connection_id), (room_id, connection_id, state) or
        Accept(...).

        It runs in the worker that accepted the socket, before any frame is exchanged. Raising ConnectRejected refuses the
        upgrade. An empty connection id becomes a random UUID.
        """
        self._connect = _checked("connect", handler)
        return handler

    def on_connect(self, handler: Handler) -> Handler:
        """Set what runs once when a session begins: `handler(connection)`."""
        return self._set("on_connect", handler)

    def on_message(self, handler: Handler) -> Handler:
        """Set what runs for each inbound frame, one at a time per session: `handler(connection, frame)`."""
        return self._set("on_message", handler)

    def on_disconnect(self, handler: Handler) -> Handler:
        """Set what runs once when a session ends, after every on_message: `handler(connection, error)`."""
        return self._set("on_disconnect", handler)

    def on_transport_drop(self, handler: Handler) -> Handler:
        """Set what runs when a session is suspended: `handler(connection, error)`; error is None after a clean close."""
        return self._set("on_transport_drop", handler)

    def on_transport_restore(self, handler: Handler) -> Handler:
        """Set what runs when a suspended session has a transport again: `handler(connection)`."""
        return self._set("on_transport_restore", handler)

    def on_transfer_out(self, handler: Handler) -> Handler:
        """Set what runs before a session moves to another process, as its last callback in this one: `handler(connection)`.

        No other callback of the session is running then, and none will run here. Put what the next process must know into
        `connection.state`. If the move fails, the session goes on here, and `on_transfer_in` runs here. What the handler raises
        is logged, and the session moves anyway. (doc/howto/reload.md)
        """
        return self._set("on_transfer_out", handler)

    def on_transfer_in(self, handler: Handler) -> Handler:
        """Set what runs when a session has moved to this process, before any other callback here: `handler(connection)`.

        on_connect does not run for it. What the handler raises is logged, and the session goes on. (doc/howto/reload.md)
        """
        return self._set("on_transfer_in", handler)

    def on_start(self, handler: Handler) -> Handler:
        """Add what runs once per worker before it accepts connections: `handler()`. A worker whose handler raises does not
        start; a server that was not ready yet ends then."""
        self.start_handlers.append(_checked("on_start", handler))
        return handler

    def on_stop(self, handler: Handler) -> Handler:
        """Add what runs once per worker after its last session has ended: `handler()`; several run in reverse order."""
        self.stop_handlers.append(_checked("on_stop", handler))
        return handler

    def override(self, options: dict[str, Any]) -> None:
        """Replace options by name, as the command line does. Raises ValueError as construction does."""
        self.options = self.options.overridden(options)

    def checked_connect(self) -> Callable[[Request], Any]:
        """The connect handler. Raises ValueError when there is none."""
        if self._connect is None:
            raise ValueError(
                "wspulse: connect: required; pass Server(connect) or decorate a function with @server.connect"
            )
        return self._connect

    def _extend(self, extension: Extension) -> None:
        """Add what a built-in application brings along. It takes effect with the next start."""
        self._extensions.append(extension)

    def _set(self, name: str, handler: Handler) -> Handler:
        self.handlers[name] = _checked(name, handler)
        return handler


def _checked(name: str, handler: Handler) -> Handler:
    if not callable(handler):
        raise ValueError(f"wspulse: {name}: {handler!r} is not callable")
    return handler
