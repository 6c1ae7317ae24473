"""Typed events: handlers by event name, payloads checked before they arrive, middleware that limits and that recovers.

    python -m wspulse.supervisor --workers 2 --app router:server

Connect to ws://127.0.0.1:8000/ws?id=alice&room=shop and send {"id": "1", "event": "cart.add", "payload": {"item": "tea"}}.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec

from wspulse import Context, EventRouter, Frame, InvalidPayloadError, Request, Server, recovery

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]

PRICES = {"tea": 4, "cake": 6}


class Add(msgspec.Struct, forbid_unknown_fields=True):
    item: Text
    count: Annotated[int, msgspec.Meta(ge=1, le=99)] = 1


class Remove(msgspec.Struct, forbid_unknown_fields=True):
    item: Text


Middleware = Callable[[Context], Coroutine[Any, Any, None]]


def at_most(frames: int, per_s: float) -> Middleware:
    """Middleware that lets a connection send so many frames at once, and as many in `per_s` seconds after that."""

    async def limit(context: Context) -> None:
        state = context.connection.state
        now = time.monotonic()
        allowance, since = state.get("allowance", (frames, now))
        allowance = min(frames, allowance + (now - since) * frames / per_s)
        if allowance < 1:
            state["allowance"] = allowance, now
            context.abort()
            await answer(
                context, "error", {"code": "too_fast", "retry_after_s": round((1 - allowance) * per_s / frames, 2)}
            )
        else:
            state["allowance"] = allowance - 1, now
            await context.next()

    return limit


async def answer(context: Context, event: str, payload: Any) -> None:
    """To the sender, with the id of the frame that is answered."""
    await context.connection.send(Frame(event, payload, context.frame.id))


async def broken(context: Context, error: Exception) -> None:
    await answer(context, "error", {"code": "internal"})


def needs_login(context: Context) -> None:
    """A sync middleware runs before the handler; `abort` is how it says no."""
    if not context.connection.request.query.get("id"):
        context.abort()
        context.connection.send_nowait(Frame("error", {"code": "login_first"}, context.frame.id))


# What clients may do with their cart: events "cart.…", for those who are logged in.
cart = EventRouter()
cart.use(needs_login)


@cart.use
def find_cart(context: Context) -> None:
    context["cart"] = context.connection.state.setdefault("cart", {})


@cart.on("add")
async def add(context: Context, order: Add) -> None:
    if order.item not in PRICES:
        raise InvalidPayloadError("$.item", f"Expected one of {', '.join(PRICES)}")
    items = context["cart"]
    items[order.item] = items.get(order.item, 0) + order.count
    await answer(context, "cart", items)


@cart.on("remove")
async def remove(context: Context, order: Remove) -> None:
    del context["cart"][order.item]  # who removes what is not there gets {"code": "internal"}, and keeps the connection
    await answer(context, "cart", context["cart"])


@cart.on("total")
def total(context: Context) -> None:
    price = sum(PRICES[item] * count for item, count in context["cart"].items())
    context.connection.send_nowait(Frame("total", price, context.frame.id))


router = EventRouter()
router.use(recovery(broken))
router.use(at_most(20, per_s=10))
router.include(cart, prefix="cart.")


@router.fallback
async def unknown(context: Context) -> None:
    await answer(context, "error", {"code": "unknown_event", "known": router.events})


server = Server()
server.on_message(router)


@server.connect
def connect(request: Request) -> tuple[str, str]:
    return request.query.get("room", "shop"), request.query.get("id", "")
