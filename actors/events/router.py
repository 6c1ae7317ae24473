"""`EventRouter`: calls the handler that was registered for a frame's event, with middleware around it.

Made by the application at import time and given to `server.on_message`. It holds no connection and no task; everything it
runs, it runs inside the call that the session makes for a frame.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from logging import Logger, getLogger
from time import monotonic
from typing import Any, TypeVar, overload

from msgspec import UNSET

from wspulse.actors.events.answer import Answers
from wspulse.actors.events.context import Chain, Context, InvalidPayloadError, Step
from wspulse.actors.events.handler import EventHandler, callable_name, checked_callable
from wspulse.actors.events.recovery import recovery
from wspulse.actors.events.timed import timed
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.awaitable import is_awaitable, result_of
from wspulse.actors.values.errors import ConnectionClosedError, ReplyError, SendBufferFullError
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import LogLimit, shortened
from wspulse.actors.values.telemetry.histogram import Histograms

__all__ = ["EventRouter"]

Function = TypeVar("Function", bound=Callable[..., Any])


class EventRouter:
    """Event names → handlers. Give it to `server.on_message(router)`; it is called with (connection, frame).

    Handlers are called with a `Context`, and with the decoded payload if they have a second parameter. Handlers and middleware
    may be sync or async in any mixture; a chain without async ones runs without a task. Middleware runs in the order of `use`,
    that of a router before that of the routers it includes. When a middleware returns without having called `next`, the chain
    goes on by itself, so a sync middleware runs before the handler; `context.abort()` stops the chain. What a handler or
    middleware raises reaches the session (close 1011), unless `recovery()` is used.

    What a handler returns answers the frame: a frame with the same event, the same id and the value as its payload. None sends
    no answer; if the frame has no id, nothing is sent and a warning is logged. `raise ReplyError(payload)`, in a handler or in
    middleware, answers with the event `<event>.error` and the same id.

    Mistakes raise ValueError or TypeError at registration. What is registered while frames are handled takes effect with the
    next frame.
    """

    def __init__(self, *, logger: Logger | None = None) -> None:
        """`logger` (default: "wspulse") gets the warnings about events without a handler."""
        self._logger = logger or getLogger("wspulse")
        self._middleware: list[Step] = []
        self._handlers: dict[str, EventHandler] = {}
        self._children: list[tuple[str, EventRouter]] = []
        self._parents: list[tuple[str, EventRouter]] = []
        self._fallback: EventHandler | None = None
        self._on_invalid: Callable[[Context, InvalidPayloadError], Any] | None = None
        self._histograms: Histograms | None = None
        self._chains: dict[str, Chain] | None = None
        """Event → what is run for it; None when something was registered since."""
        self._fallback_chains: list[tuple[str, Chain]] = []
        """Prefix → what is run for events that begin so and have no handler; the longest prefix first."""
        self._unmatched_log = LogLimit()
        self._answers = Answers(self._logger)

    # Registration.

    def use(self, middleware: Function) -> Function:
        """Add a middleware, `middleware(context)`, for every event of this router, those without a handler included.

        It may be called before or after `on`. Returns the middleware, so that it can be a decorator. Raises TypeError.
        """
        if middleware is recovery:
            raise TypeError("wspulse: use: recovery must be called: router.use(recovery())")
        self._middleware.append(checked_callable("use", middleware, "context"))
        self._changed()
        return middleware

    @overload
    def on(self, event: str, *, type: Any = ..., use: Sequence[Step] = ...) -> Callable[[Function], Function]: ...
    @overload
    def on(self, event: str, handler: Function, *, type: Any = ..., use: Sequence[Step] = ...) -> Function: ...
    def on(self, event: str, handler: Any = UNSET, *, type: Any = UNSET, use: Sequence[Step] = ()) -> Any:  # noqa: A002
        """Register the handler of an event: `@router.on("chat.message")`, or `router.on("chat.message", handler)`.

        `type`, or else the annotation of the handler's second parameter, is what payloads are decoded to (anything msgspec can
        decode; an absent payload counts as None); if one does not match, `on_invalid` is called instead of the handler. `use`
        is middleware for this event alone, after the router's. Returns the handler. Raises ValueError for an empty name or one
        that already has a handler, TypeError for something that cannot be a handler.
        """
        what = _what(event)
        if handler is not UNSET:
            self._add(what, event, handler, type, use, sys._getframe(1).f_locals)
            return handler

        def register(function: Function) -> Function:
            # The caller's local names are what annotations inside a function, such as a test, refer to.
            self._add(what, event, function, type, use, sys._getframe(1).f_locals)
            return function

        return register

    def fallback(self, handler: Function) -> Function:
        """Set what is called for events without a handler, after the middleware; by default a warning is logged.

        In an included router it handles the events that begin with its prefix. Raises ValueError if it is already set.
        """
        if self._fallback is not None:
            raise ValueError(f"wspulse: fallback: already set to {self._fallback.name}")
        self._fallback = EventHandler("fallback", handler, local_names=sys._getframe(1).f_locals)
        self._changed()
        return handler

    def on_invalid(self, handler: Function) -> Function:
        """Set what is called when a payload does not match its type: `handler(context, error)`, sync or async.

        `error` is an InvalidPayloadError. By default the sender gets a frame of event "error" with the id of its frame and the
        payload `{"code": "invalid_payload", "event": ..., "path": "$.text", "problem": "Expected ..."}`; the connection stays
        open. An included router without one uses its parent's. Raises ValueError if it is already set.
        """
        if self._on_invalid is not None:
            raise ValueError(f"wspulse: on_invalid: already set to {callable_name(self._on_invalid)}")
        self._on_invalid = checked_callable("on_invalid", handler, "context", "error")
        self._changed()
        return handler

    def include(self, router: EventRouter, prefix: str = "") -> None:
        """Handle the events of another router too, with `prefix` before their names; its middleware applies to them only.

        This includes what is registered there later. Raises ValueError if an event would have two handlers, or if the routers
        would include each other in a circle.
        """
        if not isinstance(router, EventRouter):
            raise TypeError(f"wspulse: include: {router!r} is not an EventRouter")
        if not isinstance(prefix, str):
            raise TypeError(f"wspulse: include: the prefix must be a str, not {prefix!r}")
        if router._reaches(self):
            raise ValueError("wspulse: include: routers must not include each other in a circle")
        if (prefix, router) in self._children:
            raise ValueError(f"wspulse: include: the router is already included with the prefix {prefix!r}")
        for event in router.events:
            self._check_free(prefix + event)
        self._children.append((prefix, router))
        router._parents.append((prefix, self))
        self._changed()

    @property
    def events(self) -> tuple[str, ...]:
        """The names that have a handler, those of included routers with their prefixes."""
        return tuple(self._names())

    def measure(self, histograms: Histograms) -> None:
        """Measure from the next frame on how long handlers take, those of included routers too. For a runtime whose server is
        looked at; nothing of it is there before."""
        self._histograms = histograms
        self._changed()

    # Dispatch.

    def __call__(self, connection: Connection, frame: Frame) -> Awaitable[None] | None:
        """Handle a frame. Returns None when everything that ran was sync, else what is to be awaited.

        Raises what handlers and middleware raise.
        """
        chains = self._chains
        if chains is None:
            chains = self._compile()
        chain = chains.get(frame.event)
        if chain is None:
            chain = self._fallback_chain(frame.event)
        context = Context(connection, frame, chain)
        try:
            pending = context.advance()
        except (InvalidPayloadError, ReplyError) as error:
            return _refused(context, chain, error)
        return None if pending is None else _finish(context, chain, pending)

    async def dispatch(self, connection: Connection, frame: Frame) -> None:
        """Handle a frame, from an `on_message` of your own or from a test. Raises what handlers and middleware raise.

        `connection` may be anything that the handlers can work with; the payload of a frame built by hand is converted.
        """
        pending = self(connection, frame)
        if pending is not None:
            await pending

    # Inside.

    def _add(
        self, what: str, event: str, function: Any, data_type: Any, use: Sequence[Step], local_names: Mapping[str, Any]
    ) -> None:
        handler = EventHandler(what, function, data_type=data_type, middleware=use, local_names=local_names)
        self._check_free(event)
        self._handlers[event] = handler
        self._changed()

    def _names(self) -> Iterator[str]:
        yield from self._handlers
        for prefix, child in self._children:
            for event in child._names():
                yield prefix + event

    def _check_free(self, event: str) -> None:
        """Here and in every router that includes this one. Raises ValueError."""
        taken = self._find(event)
        if taken is not None:
            raise ValueError(f"wspulse: {_what(event)}: already handled by {taken.name}")
        for prefix, parent in self._parents:
            parent._check_free(prefix + event)

    def _find(self, event: str) -> EventHandler | None:
        if event in self._handlers:
            return self._handlers[event]
        for prefix, child in self._children:
            if event.startswith(prefix) and (found := child._find(event[len(prefix) :])) is not None:
                return found
        return None

    def _reaches(self, other: EventRouter) -> bool:
        return self is other or any(child._reaches(other) for _, child in self._children)

    def _changed(self) -> None:
        self._chains = None
        for _, parent in self._parents:
            parent._changed()

    def _compile(self) -> dict[str, Chain]:
        chains: dict[str, Chain] = {}
        fallbacks: list[tuple[str, Chain]] = []
        make = partial(_chain, answers=self._answers, histograms=self._histograms)
        self._collect("", (), self._on_invalid or _answer_invalid, make, chains, fallbacks)
        if self._fallback is None:
            handler = EventHandler("fallback", self._warn_unmatched)
            on_invalid = self._on_invalid or _answer_invalid
            fallbacks.append(("", make("", tuple(self._middleware), handler, on_invalid)))
        # Stable: of two with one prefix the outer one, which comes first, is taken.
        fallbacks.sort(key=lambda item: -len(item[0]))
        self._chains, self._fallback_chains = chains, fallbacks
        return chains

    def _collect(
        self,
        prefix: str,
        middleware: tuple[Step, ...],
        on_invalid: Callable[[Context, InvalidPayloadError], Any],
        make: Callable[..., Chain],
        chains: dict[str, Chain],
        fallbacks: list[tuple[str, Chain]],
    ) -> None:
        middleware = (*middleware, *self._middleware)
        on_invalid = self._on_invalid or on_invalid
        for event, handler in self._handlers.items():
            chains[prefix + event] = make(prefix + event, middleware, handler, on_invalid)
        if self._fallback is not None:
            fallbacks.append((prefix, make("", middleware, self._fallback, on_invalid)))
        for child_prefix, child in self._children:
            child._collect(prefix + child_prefix, middleware, on_invalid, make, chains, fallbacks)

    def _fallback_chain(self, event: str) -> Chain:
        """Looked up each time: what a peer makes up must not fill a cache."""
        for prefix, chain in self._fallback_chains:
            if event.startswith(prefix):
                return chain
        raise AssertionError("the last prefix is empty")

    def _warn_unmatched(self, context: Context) -> None:
        suppressed = self._unmatched_log.admit(monotonic())
        if suppressed is not None:
            self._logger.warning(
                "no handler for an event",
                extra={
                    "event": shortened(context.frame.event),
                    "connection_id": context.connection.id,
                    "not_logged": suppressed,
                },
            )


def _what(event: Any) -> str:
    if not isinstance(event, str):
        raise TypeError(f"wspulse: on: the event's name must be a str, not {event!r}")
    if not event:
        raise ValueError("wspulse: on: the event's name is empty")
    return f"event {shortened(event)!r}"


def _chain(
    event: str,
    middleware: tuple[Step, ...],
    handler: EventHandler,
    on_invalid: Callable[[Context, InvalidPayloadError], Any],
    *,
    answers: Answers,
    histograms: Histograms | None,
) -> Chain:
    """That of an event which has a handler, or, with the empty name, of a fallback."""
    step = handler.step
    if histograms is not None:
        step = timed(step, histograms.of("wspulse_handler_seconds", event))
    return Chain((*middleware, *handler.middleware, step), handler.data_type, on_invalid, answers)


async def _finish(context: Context, chain: Chain, pending: Awaitable[Any]) -> None:
    try:
        value = await pending
        if value is not None:
            context.answer(value)
    except (InvalidPayloadError, ReplyError) as error:
        await result_of(_refused(context, chain, error))


def _refused(context: Context, chain: Chain, error: InvalidPayloadError | ReplyError) -> Awaitable[None] | None:
    """Answer what the chain raised as an answer. Returns what is still to be awaited."""
    if isinstance(error, ReplyError):
        chain.answers.error(context.connection, context.frame, error)
        return None
    try:
        pending = chain.on_invalid(context, error)
    except ReplyError as reply:
        chain.answers.error(context.connection, context.frame, reply)
        return None
    return _refuse(context, chain, pending) if is_awaitable(pending) else None


async def _refuse(context: Context, chain: Chain, pending: Awaitable[Any]) -> None:
    try:
        await pending
    except ReplyError as reply:
        chain.answers.error(context.connection, context.frame, reply)


def _answer_invalid(context: Context, error: InvalidPayloadError) -> None:
    payload = {
        "code": error.code,
        "event": shortened(context.frame.event),
        "path": error.path,
        "problem": error.problem,
    }
    try:
        context.connection.send_nowait(Frame("error", payload, context.frame.id))
    except (ConnectionClosedError, SendBufferFullError):
        pass  # who sends wrong payloads and reads nothing can do without the answer
