"""What may be registered with an event router, and what is said of what may not."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from tests.support.sessions.fake_connection import FakeConnection
from wspulse import Connection, Context, EventRouter, Frame, recovery

if TYPE_CHECKING:
    from decimal import Decimal

    Unknown = Any


class ChatMessage(msgspec.Struct):
    text: str


def silent(context: Context) -> None:
    pass


async def dispatched(handler: Callable[..., Any], payload: Any = msgspec.UNSET, **options: Any) -> FakeConnection:
    router = EventRouter()
    router.on("chat", handler, **options)
    connection = FakeConnection()
    await router.dispatch(connection, Frame("chat", payload, "7"))
    return connection


# What works.


async def test_handler_gets_its_payload_when_its_second_parameter_is_annotated() -> None:
    got: list[Any] = []

    async def say(context: Context, message: ChatMessage) -> None:
        got.append(message)

    await dispatched(say, msgspec.Raw(b'{"text":"hi"}'))
    assert got == [ChatMessage("hi")]


async def test_handler_gets_plain_values_when_its_second_parameter_is_bare() -> None:
    got: list[Any] = []

    def say(context, message):  # type: ignore[no-untyped-def]
        got.append(message)

    await dispatched(say, msgspec.Raw(b'{"text":"hi"}'))
    assert got == [{"text": "hi"}]


async def test_handler_gets_the_registered_type_when_it_is_also_annotated() -> None:
    got: list[Any] = []

    def say(context: Context, message: Any) -> None:
        got.append(message)

    await dispatched(say, msgspec.Raw(b'{"text":"hi"}'), type=ChatMessage)
    assert got == [ChatMessage("hi")]


async def test_handler_with_context_only_has_its_payload_checked_when_a_type_is_registered() -> None:
    got: list[Any] = []

    def say(context: Context) -> None:
        got.append(context.data)

    await dispatched(say, msgspec.Raw(b'{"text":"hi"}'), type=ChatMessage)
    connection = await dispatched(say, msgspec.Raw(b'{"text":1}'), type=ChatMessage)
    assert got == [ChatMessage("hi")]
    assert connection.sent[0].event == "error"


async def test_handler_defined_in_a_function_may_use_a_type_of_that_function() -> None:
    class Local(msgspec.Struct):
        number: int

    got: list[Any] = []
    router = EventRouter()

    @router.on("chat")
    def say(context: Context, message: Local) -> None:
        got.append(message)

    await router.dispatch(FakeConnection(), Frame("chat", msgspec.Raw(b'{"number":1}')))
    assert got == [Local(1)]


async def test_handler_keeps_the_constraints_when_its_annotation_is_annotated() -> None:
    def say(context: Context, text: Annotated[str, msgspec.Meta(max_length=3)]) -> None:
        raise AssertionError("it does not fit")

    connection = await dispatched(say, msgspec.Raw(b'"long"'))
    assert connection.sent[0].payload["problem"] == "Expected `str` of length <= 3"


async def test_annotation_is_not_read_when_nobody_needs_it() -> None:
    got: list[Any] = []

    def first(context: Unknown) -> None:
        got.append(context.data)

    def second(context: Unknown, message: Unknown) -> None:
        got.append(message)

    await dispatched(first, msgspec.Raw(b"1"))
    await dispatched(second, msgspec.Raw(b"2"), type=int)
    assert got == [1, 2]


async def test_absent_payload_is_none_when_the_type_allows_it() -> None:
    got: list[Any] = []

    def say(context: Context, message: ChatMessage | None) -> None:
        got.append(message)

    await dispatched(say)
    assert got == [None]


async def test_second_parameter_is_left_alone_when_it_has_a_default() -> None:
    got: list[Any] = []

    def say(context: Context, number: int = 7) -> None:
        got.append(number)

    await dispatched(say, msgspec.Raw(b"1"))
    assert got == [7]


async def test_handler_may_be_any_callable() -> None:
    got: list[Any] = []

    class Handler:
        def method(self, context: Context, message: ChatMessage) -> None:
            got.append(message.text)

        def __call__(self, context: Context, message: ChatMessage) -> None:
            got.append(message.text)

    def with_prefix(prefix: str, context: Context, message: ChatMessage) -> None:
        got.append(prefix + message.text)

    for handler in (Handler().method, Handler(), functools.partial(with_prefix, "so ")):
        await dispatched(handler, msgspec.Raw(b'{"text":"hi"}'))
    assert got == ["hi", "hi", "so hi"]


async def test_handler_may_be_a_callable_that_tells_no_signature() -> None:
    await dispatched(operator.methodcaller("abort"))  # inspect knows nothing of it, before Python 3.13


# What is refused, at registration and by name.


@pytest.mark.parametrize("event", [None, b"chat", 7])
def test_registration_raises_type_error_when_the_name_is_no_string(event: Any) -> None:
    with pytest.raises(TypeError, match=r"wspulse: on: the event's name must be a str, not "):
        EventRouter().on(event)


def test_registration_raises_value_error_when_the_name_is_empty() -> None:
    with pytest.raises(ValueError, match="wspulse: on: the event's name is empty"):
        EventRouter().on("")


@pytest.mark.parametrize("handler", [None, "silent", 7])
def test_registration_raises_type_error_when_the_handler_is_not_callable(handler: Any) -> None:
    with pytest.raises(TypeError, match=f"wspulse: event 'chat': {handler!r} is not callable"):
        EventRouter().on("chat", handler)
    with pytest.raises(TypeError, match="wspulse: event 'chat'"):
        EventRouter().on("chat")(handler)


def test_registration_raises_type_error_when_a_class_is_given_for_an_object() -> None:
    class Handler:
        def __call__(self, context: Context) -> None: ...

    with pytest.raises(TypeError, match=r"event 'chat': .*Handler is a class; pass an instance of it"):
        EventRouter().on("chat", Handler)
    with pytest.raises(TypeError, match=r"use: .*Handler is a class"):
        EventRouter().use(Handler)


@pytest.mark.parametrize(
    "handler", [lambda: None, lambda a, b, c: None, lambda context, *, message: None, lambda **values: None]
)
def test_registration_raises_type_error_when_the_arguments_cannot_fit(handler: Any) -> None:
    with pytest.raises(TypeError, match=r"event 'chat': .* takes the wrong arguments"):
        EventRouter().on("chat", handler)


def test_registration_raises_type_error_when_the_arguments_are_those_of_on_message() -> None:
    def relay(connection: Connection, frame: Frame) -> None: ...

    with pytest.raises(TypeError, match="event 'chat': a handler of an event router takes a Context"):
        EventRouter().on("chat", relay)


def test_registration_raises_type_error_when_an_annotation_cannot_be_read() -> None:
    def buy(context: Context, price: Decimal) -> None: ...

    with pytest.raises(TypeError, match=r"event 'buy': the annotation of `price` in .* cannot be evaluated: .*Decimal"):
        EventRouter().on("buy", buy)


def test_return_annotation_is_never_read() -> None:
    def buy(context: Context) -> Decimal:
        raise NotImplementedError

    EventRouter().on("buy", buy)


@pytest.mark.parametrize(
    "data_type", [int | str | list[int] | tuple[int], dict[int, set[list[int]]] | dict[str, int], 7]
)
def test_registration_raises_type_error_when_payloads_cannot_be_decoded_to_the_type(data_type: Any) -> None:
    with pytest.raises(TypeError, match="event 'chat': payloads cannot be decoded as"):
        EventRouter().on("chat", silent, type=data_type)


def test_registration_names_both_when_an_event_gets_a_second_handler() -> None:
    router = EventRouter()
    router.on("chat", silent)
    with pytest.raises(ValueError, match="wspulse: event 'chat': already handled by silent"):
        router.on("chat", silent)


def test_refused_registration_leaves_the_event_free() -> None:
    router = EventRouter()
    with pytest.raises(TypeError):
        router.on("chat", lambda: None)
    router.on("chat", silent)
    assert router.events == ("chat",)


def test_middleware_is_refused_when_it_does_not_take_a_context() -> None:
    router = EventRouter()
    with pytest.raises(TypeError, match="use: None is not callable"):
        router.use(None)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"use: .* it is called with \(context\)"):
        router.use(lambda: None)
    with pytest.raises(TypeError, match=r"router.use\(recovery\(\)\)"):
        router.use(recovery)
    with pytest.raises(TypeError, match="event 'chat': use: 7 is not callable"):
        router.on("chat", silent, use=[7])  # type: ignore[list-item]


def test_second_fallback_and_second_on_invalid_are_refused() -> None:
    def invalid(context: Context, error: Exception) -> None: ...

    router = EventRouter()
    router.fallback(silent)
    router.on_invalid(invalid)
    with pytest.raises(ValueError, match="fallback: already set to silent"):
        router.fallback(silent)
    with pytest.raises(ValueError, match=r"on_invalid: already set to .*invalid"):
        router.on_invalid(invalid)
    with pytest.raises(TypeError, match=r"on_invalid: .* it is called with \(context, error\)"):
        EventRouter().on_invalid(silent)


def test_message_is_short_when_the_name_is_a_megabyte() -> None:
    name = "x" * 1_000_000
    with pytest.raises(TypeError) as caught:
        EventRouter().on(name, None)  # type: ignore[call-overload]
    assert len(str(caught.value)) < 300
