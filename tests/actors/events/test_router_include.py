"""Routers inside routers: prefixes, whose middleware runs, and names that would be taken twice."""

from __future__ import annotations

import msgspec
import pytest

from tests.actors.events.test_router import Trace
from tests.support.sessions.fake_connection import FakeConnection
from wspulse import Context, EventRouter, Frame, InvalidPayloadError


async def handled(router: EventRouter, *events: str) -> None:
    for event in events:
        await router.dispatch(FakeConnection(), Frame(event, msgspec.Raw(b"{}")))


async def test_included_event_has_its_prefix_and_both_routers_middleware() -> None:
    trace, outer, inner = Trace(), EventRouter(), EventRouter()
    inner.use(trace.around("inner"))
    inner.on("message", trace.sync("handler"))
    outer.include(inner, prefix="chat.")
    outer.use(trace.around("outer"))
    outer.on("ping", trace.sync("pong"))
    await handled(outer, "chat.message", "ping")
    assert trace.lines == [
        *("outer in", "inner in", "handler", "inner out", "outer out"),
        *("outer in", "pong", "outer out"),
    ]
    assert set(outer.events) == {"ping", "chat.message"}


async def test_later_registration_counts_in_every_router_around() -> None:
    trace, outer, middle, inner = Trace(), EventRouter(), EventRouter(), EventRouter()
    outer.include(middle, "a.")
    middle.include(inner, "b.")
    await handled(inner)
    outer.fallback(trace.sync("fallback"))
    await handled(outer, "a.b.c")
    inner.on("c", trace.sync("handler"))
    await handled(outer, "a.b.c")
    assert trace.lines == ["fallback", "handler"]


async def test_router_serves_both_when_it_is_included_with_two_prefixes() -> None:
    trace, outer, inner = Trace(), EventRouter(), EventRouter()
    inner.on("message", trace.sync("handler"))
    outer.include(inner, "chat.")
    outer.include(inner, "team.")
    await handled(outer, "chat.message", "team.message")
    assert trace.lines == ["handler"] * 2


async def test_fallback_of_the_longest_prefix_is_taken() -> None:
    trace, outer, chat, admin = Trace(), EventRouter(), EventRouter(), EventRouter()
    outer.include(chat, "chat.")
    chat.include(admin, "admin.")
    outer.fallback(trace.sync("outer"))
    admin.fallback(trace.sync("admin"))
    chat.use(trace.sync("chat middleware"))
    await handled(outer, "x", "chat.x", "chat.admin.x")
    assert trace.lines == ["outer", "outer", "chat middleware", "admin"]


async def test_on_invalid_of_the_inner_router_goes_before_that_of_the_outer() -> None:
    trace, outer, own, heir = Trace(), EventRouter(), EventRouter(), EventRouter()
    outer.include(own, "own.")
    outer.include(heir, "heir.")

    @outer.on_invalid
    def outer_invalid(context: Context, error: InvalidPayloadError) -> None:
        trace.lines.append("outer")

    @own.on_invalid
    def own_invalid(context: Context, error: InvalidPayloadError) -> None:
        trace.lines.append("own")

    for router in (outer, own, heir):
        router.on("number", trace.sync("handler"), type=int)
    await handled(outer, "number", "own.number", "heir.number")
    assert trace.lines == ["outer", "own", "outer"]


def test_include_raises_value_error_when_an_event_would_have_two_handlers() -> None:
    outer, inner = EventRouter(), EventRouter()
    outer.on("chat.message", Trace().sync("outer"))
    inner.on("message", Trace().sync("inner"))
    with pytest.raises(ValueError, match=r"event 'chat.message': already handled by "):
        outer.include(inner, "chat.")
    assert outer.events == ("chat.message",)


def test_later_registration_raises_value_error_when_a_router_around_has_the_event() -> None:
    outer, middle, inner = EventRouter(), EventRouter(), EventRouter()
    outer.include(middle, "chat.")
    middle.include(inner)
    outer.on("chat.message", Trace().sync("outer"))
    with pytest.raises(ValueError, match=r"event 'chat.message': already handled by "):
        inner.on("message", Trace().sync("inner"))
    middle.on("ping", Trace().sync("middle"))
    with pytest.raises(ValueError, match=r"event 'chat.ping': already handled by "):
        outer.on("chat.ping", Trace().sync("outer"))
    assert inner.events == ()


def test_include_raises_value_error_when_routers_would_go_in_a_circle() -> None:
    outer, inner = EventRouter(), EventRouter()
    with pytest.raises(ValueError, match="circle"):
        outer.include(outer)
    outer.include(inner, "a.")
    with pytest.raises(ValueError, match="circle"):
        inner.include(outer, "b.")


def test_include_raises_when_it_is_given_nothing_that_can_be_included() -> None:
    outer, inner = EventRouter(), EventRouter()
    with pytest.raises(TypeError, match="is not an EventRouter"):
        outer.include(Trace().sync("step"))
    with pytest.raises(TypeError, match="the prefix must be a str, not None"):
        outer.include(inner, None)  # type: ignore[arg-type]
    outer.include(inner, "chat.")
    with pytest.raises(ValueError, match=r"already included with the prefix 'chat\.'"):
        outer.include(inner, "chat.")
