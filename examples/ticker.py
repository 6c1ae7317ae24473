"""Prices that tick: one task per worker moves its share of the symbols, and one worker alone sums up the market.

    python -m wspulse.supervisor --workers 4 --app ticker:server

Connect to ws://127.0.0.1:8000/ws for the market, and with ?symbol=ACME&symbol=BOLT for the prices of these symbols, too.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import msgspec

from wspulse import Accept, ConnectRejected, Frame, Request, Server, ServerClosedError, ShardUnavailableError

SYMBOLS = ("ACME", "BOLT", "CORN", "DUST", "ECHO", "FLUX")
PRICES_PERIOD_S = 0.2
MARKET_PERIOD_S = 1.0

logger = logging.getLogger("ticker")
server = Server()
tasks: list[asyncio.Task[None]] = []
prices: dict[str, float] = {}


class Price(msgspec.Struct):
    price: float
    worker: int


@server.connect
def connect(request: Request) -> Accept:
    symbols = request.query.getall("symbol")
    for symbol in symbols:
        if symbol not in SYMBOLS:
            raise ConnectRejected(f"there is no {symbol!r}; there are {', '.join(SYMBOLS)}", status=404)
    return Accept("market", rooms=symbols)


async def tick_prices() -> None:
    """Each symbol has a room. Broadcasts reach its members on every worker, so each symbol needs one sender only."""
    for symbol in prices:
        prices[symbol] = round(prices[symbol] * random.uniform(0.99, 1.01), 2)
        await server.broadcast(symbol, Frame("price", Price(prices[symbol], server.shard), room=symbol))


async def tick_market() -> None:
    watchers = len(await server.presence("market"))
    await server.broadcast("market", Frame("market", {"watchers": watchers, "worker": server.shard}))


async def every(period_s: float, tick: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        try:
            await tick()
        except ServerClosedError:
            return
        except ShardUnavailableError as error:
            # Another worker is being replaced, or the bus is behind. The next tick is fresher than a repetition.
            logger.warning("a tick was left out", extra={"reason": str(error)})
        due = max(due + period_s, loop.time())
        await asyncio.sleep(due - loop.time())


@server.on_start
async def start() -> None:
    for symbol in SYMBOLS[server.shard :: server.workers]:
        prices[symbol] = 100.0
    tasks.append(asyncio.create_task(every(PRICES_PERIOD_S, tick_prices)))
    if server.shard == 0:
        # What the whole server needs once. When this worker dies, its replacement goes on.
        tasks.append(asyncio.create_task(every(MARKET_PERIOD_S, tick_market)))


@server.on_stop
async def stop() -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()
