"""Typed events: handlers by event name that answer, payloads checked before they arrive, middleware that limits and recovers.

    python -m wspulse.supervisor --workers 2 --app router:server

Connect to ws://127.0.0.1:8000/ws?id=alice&room=shop and send {"id": "1", "event": "cart.add", "payload": {"item": "tea"}}. The
answer is {"id": "1", "event": "cart.add", "payload": {"tea": 1}}; where something is wrong its event is "cart.add.error".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import msgspec

from wspulse import Context, EventRouter, InvalidPayloadError, ReplyError, Request, Server, recovery

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]

PRICES = {"tea": 4, "cake": 6}


class Add(msgspec.Struct, forbid_unknown_fields=True):
    item: Text
    count: Annotated[int, msgspec.Meta(ge=1, le=99)] = 1


class Remove(msgspec.Struct, forbid_unknown_fields=True):
    item: Text


def at_most(frames: int, per_s: float) -> Callable[[Context], None]:
    """Middleware that lets a connection send so many frames at once, and as many in `per_s` seconds after that."""

    def limit(context: Context) -> None:
        state = context.connection.state
        now = time.monotonic()
        allowance, since = state.get("allowance", (frames, now))
        allowance = min(frames, allowance + (now - since) * frames / per_s)
        if allowance < 1:
            state["allowance"] = allowance, now
            raise ReplyError({"code": "too_fast", "retry_after_s": round((1 - allowance) * per_s / frames, 2)})
        state["allowance"] = allowance - 1, now

    return limit


def broken(context: Context, error: Exception) -> None:
    raise ReplyError({"code": "internal"})


def needs_login(context: Context) -> None:
    """A sync middleware runs before the handler; raising is how it says no. One that says nothing calls `context.abort()`."""
    if not context.connection.request.query.get("id"):
        raise ReplyError({"code": "login_first"})


# What clients may do with their cart: events "cart.…", for those who are logged in.
cart = EventRouter()
cart.use(needs_login)


@cart.use
def find_cart(context: Context) -> None:
    context["cart"] = context.connection.state.setdefault("cart", {})


@cart.on("add")
def add(context: Context, order: Add) -> dict[str, int]:
    if order.item not in PRICES:
        raise InvalidPayloadError("$.item", f"Expected one of {', '.join(PRICES)}")
    items: dict[str, int] = context["cart"]
    items[order.item] = items.get(order.item, 0) + order.count
    return items


@cart.on("remove")
def remove(context: Context, order: Remove) -> dict[str, int]:
    items: dict[str, int] = context["cart"]
    del items[order.item]  # who removes what is not there gets {"code": "internal"}, and keeps the connection
    return items


@cart.on("total")
def total(context: Context) -> int:
    return sum(PRICES[item] * count for item, count in context["cart"].items())


router = EventRouter()
router.use(recovery(broken))
router.use(at_most(20, per_s=10))
router.include(cart, prefix="cart.")


@router.fallback
def unknown(context: Context) -> None:
    raise ReplyError({"code": "unknown_event", "known": router.events})


server = Server()
server.on_message(router)


@server.connect
def connect(request: Request) -> tuple[str, str]:
    return request.query.get("room", "shop"), request.query.get("id", "")
