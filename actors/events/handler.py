"""`EventHandler`: a function that was registered for an event, and how it wants its payload.

Made by the event router at registration, where everything that can be wrong with the function is found and said.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, get_type_hints

import msgspec

from wspulse.actors.events.context import Context, InvalidPayloadError, Step
from wspulse.actors.sessions.connections.connection import Connection
from wspulse.actors.values.awaitable import is_awaitable
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import shortened

__all__ = ["EventHandler", "callable_name", "checked_callable"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class EventHandler:
    """A handler of one event. `middleware` is its own, behind the router's.

    Raises TypeError for what is no callable, takes other arguments than (context) or (context, payload), or wants a
    payload of a type that msgspec cannot decode; the text names the event.
    """

    __slots__ = ("data_type", "middleware", "name", "step")

    def __init__(
        self,
        what: str,
        function: Callable[..., Any],
        *,
        data_type: Any = msgspec.UNSET,
        middleware: Sequence[Step] = (),
        local_names: Mapping[str, Any] | None = None,
    ) -> None:
        """`what` begins the texts of errors; `local_names` are what annotations may refer to besides the globals."""
        self.name = callable_name(checked_callable(what, function))
        self.middleware = tuple(checked_callable(f"{what}: use", step, "context") for step in middleware)
        parameters = _positional(what, function)
        takes_payload = len(parameters) > 1
        is_typed = data_type is not msgspec.UNSET
        for position, parameter in enumerate(parameters):
            annotation: Any = Any
            try:
                annotation = _annotation(function, parameter, local_names)
            except Exception as error:  # an annotation may hold any expression
                if position == 1 and not is_typed:  # else nobody needs it, and its import may be for type checkers only
                    raise TypeError(
                        f"wspulse: {what}: the annotation of `{parameter.name}` in {self.name} cannot be evaluated: {error}; "
                        "import its type outside TYPE_CHECKING, and define it before the handler"
                    ) from error
            _check_annotation(what, annotation)
            if position == 1 and not is_typed:
                data_type = annotation
        if data_type is msgspec.UNSET:
            data_type = Any
        _check_data_type(what, data_type)
        self.data_type = data_type
        self.step: Step
        if takes_payload:
            self.step = _with_payload(function)
        elif is_typed:
            self.step = _with_checked_payload(function)
        else:
            self.step = function


def checked_callable(what: str, function: Any, *arguments: str) -> Any:
    """`function`. Raises TypeError if it is not callable, or cannot be called with `arguments` (if any are named)."""
    if not callable(function):
        raise TypeError(f"wspulse: {what}: {function!r} is not callable")
    if inspect.isclass(function):
        raise TypeError(f"wspulse: {what}: {callable_name(function)} is a class; pass an instance of it")
    if arguments:
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError):
            return function  # some callables of C tell nothing
        try:
            signature.bind(*arguments)
        except TypeError:
            raise TypeError(
                f"wspulse: {what}: {callable_name(function)}{signature} takes the wrong arguments; "
                f"it is called with ({', '.join(arguments)})"
            ) from None
    return function


def callable_name(function: Any) -> str:
    """How a callable is called in messages."""
    return str(getattr(function, "__qualname__", None) or repr(function))


def _with_payload(function: Callable[..., Any]) -> Step:
    def call(context: Context) -> Any:
        try:
            data = context.data
        except InvalidPayloadError as error:
            return _without_value(context._chain.on_invalid(context, error))
        return function(context, data)

    return call


def _with_checked_payload(function: Callable[..., Any]) -> Step:
    """For a handler that has its type from the registration, and reads `context.data` itself."""

    def call(context: Context) -> Any:
        try:
            context.data  # noqa: B018  (decoding is the point)
        except InvalidPayloadError as error:
            return _without_value(context._chain.on_invalid(context, error))
        return function(context)

    return call


def _without_value(result: Any) -> Any:
    """What `on_invalid` returns is not sent as the answer of the handler in whose place it was called."""
    return _await_only(result) if is_awaitable(result) else None


async def _await_only(pending: Awaitable[Any]) -> None:
    await pending


def _positional(what: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that a call fills: those without a default."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        # A callable of C that tells nothing takes what all handlers take.
        return [inspect.Parameter("context", inspect.Parameter.POSITIONAL_ONLY)]
    parameters = signature.parameters.values()
    wanted = [item for item in parameters if item.kind in _POSITIONAL and item.default is item.empty]
    takes_any = any(item.kind in (*_POSITIONAL, item.VAR_POSITIONAL) for item in parameters)
    keywords = [item.name for item in parameters if item.kind is item.KEYWORD_ONLY and item.default is item.empty]
    if not takes_any or len(wanted) > 2 or keywords:
        raise TypeError(
            f"wspulse: {what}: {callable_name(function)}{signature} takes the wrong arguments; "
            "it is called with (context), or with (context, payload) if it has two parameters without defaults"
        )
    return wanted


def _annotation(
    function: Callable[..., Any], parameter: inspect.Parameter, local_names: Mapping[str, Any] | None
) -> Any:
    """Raises what evaluating it raises."""
    if parameter.annotation is parameter.empty:
        return Any
    target = inspect.unwrap(getattr(function, "func", function))
    names = getattr(target, "__globals__", None) or getattr(type(target).__call__, "__globals__", {})
    holder: Any = SimpleNamespace(__annotations__={"it": parameter.annotation})
    return get_type_hints(holder, names, dict(local_names or {}), include_extras=True)["it"]


def _check_annotation(what: str, annotation: Any) -> None:
    """The arguments of `on_message` are an easy mistake here, and would be taken for a payload."""
    if isinstance(annotation, type) and issubclass(annotation, (Connection, Frame)):
        raise TypeError(
            f"wspulse: {what}: a handler of an event router takes a Context and, if it wants it, "
            f"the payload; {annotation.__name__} is neither: use context.connection and context.frame"
        )


def _check_data_type(what: str, data_type: Any) -> None:
    try:
        msgspec.json.Decoder(data_type)
    except Exception as error:  # what msgspec raises for a type depends on the type
        raise TypeError(
            f"wspulse: {what}: payloads cannot be decoded as {shortened(repr(data_type))}: {error}"
        ) from error
