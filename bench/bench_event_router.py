"""What does a dispatch through the event router cost, on top of the handler?

    .venv/bin/python bench/bench_event_router.py [--rounds N]

Each line is the median of the rounds: microseconds for one frame by way of the router, for the same handler called
directly, and the difference, in CPU time. Async chains are driven by hand, so that no event loop is in the figures.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

import msgspec

from wspulse import Connection, Context, EventRouter, Frame, recovery

FRAMES = 20_000
LIMIT_US = 2.0


class ChatMessage(msgspec.Struct):
    text: str


def plain(context: Context) -> None:
    pass


def typed(context: Context, message: ChatMessage) -> None:
    pass


async def plain_async(context: Context) -> None:
    pass


def before(context: Context) -> None:
    pass


async def around(context: Context) -> None:
    await context.next()


def make_router(handler: Callable[..., Any], *middleware: Callable[[Context], Any]) -> EventRouter:
    router = EventRouter()
    for step in middleware:
        router.use(step)
    for number in range(100):
        router.on(f"other.{number}", plain)
    router.on("chat.message", handler)
    return router


def drive(awaitable: Any) -> None:
    """Run a coroutine that never waits for anything."""
    coroutine = cast("Coroutine[Any, Any, None]", awaitable)
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def per_call_us(call: Callable[[], None]) -> float:
    start = time.process_time()
    for _ in range(FRAMES):
        call()
    return (time.process_time() - start) / FRAMES * 1e6


def cases() -> list[tuple[str, Callable[[], None], Callable[[], None]]]:
    connection = cast("Connection", None)
    frame = Frame("chat.message", msgspec.Raw(b'{"text":"hello, everybody"}'))
    unknown = Frame("nobody.knows", msgspec.UNSET)
    context = Context(connection, frame, cast("Any", None))

    def routed(router: EventRouter, frame: Frame = frame) -> Callable[[], None]:
        def call() -> None:
            pending = router(connection, frame)
            if pending is not None:
                drive(pending)

        return call

    silent = make_router(plain)
    silent.fallback(plain)
    return [
        ("sync handler", routed(make_router(plain)), lambda: plain(context)),
        (
            "sync handler with its payload's type",
            routed(make_router(typed)),
            lambda: typed(context, frame.decode(ChatMessage)),
        ),
        (
            "sync handler, recovery, 2 sync middleware",
            routed(make_router(plain, recovery(), before, before)),
            _direct(3),
        ),
        ("async handler", routed(make_router(plain_async)), lambda: drive(plain_async(context))),
        ("async handler, recovery", routed(make_router(plain_async, recovery())), lambda: drive(plain_async(context))),
        (
            "async handler, 1 async middleware",
            routed(make_router(plain_async, around)),
            lambda: drive(plain_async(context)),
        ),
        ("event without handler", routed(silent, unknown), lambda: plain(context)),
    ]


def _direct(calls: int) -> Callable[[], None]:
    context = cast("Context", None)

    def call() -> None:
        for _ in range(calls):
            plain(context)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, whose median counts (default 7)")
    rounds = parser.parse_args().rounds
    print(f"{'one frame, 100 other events registered':44} {'router':>8} {'direct':>8} {'on top':>8}")
    worst = 0.0
    for name, routed, direct in cases():
        pairs = [(per_call_us(routed), per_call_us(direct)) for _ in range(rounds)]
        with_router = statistics.median(pair[0] for pair in pairs)
        without = statistics.median(pair[1] for pair in pairs)
        worst = max(worst, with_router - without)
        print(f"{name:44} {with_router:6.2f}µs {without:6.2f}µs {with_router - without:6.2f}µs")
    print(f"dearest: {worst:.2f} µs on top of the handler; the bound is {LIMIT_US:g} µs: {worst / LIMIT_US:.0%}")


if __name__ == "__main__":
    main()
