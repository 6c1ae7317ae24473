"""examples/ticker.py, with two workers and real clients."""

from __future__ import annotations

import asyncio

import pytest

from tests.examples.support import EXAMPLES
from wspulse.testing import UpgradeRefusedError, serve

SYMBOLS = ("ACME", "BOLT", "CORN", "DUST", "ECHO", "FLUX")


async def test_each_symbol_ticks_from_one_worker_and_the_market_from_the_first() -> None:
    async with serve("ticker:server", workers=2, cwd=EXAMPLES) as running:
        clients = {symbol: [await running.connect(query={"symbol": symbol}) for _ in range(3)] for symbol in SYMBOLS}
        workers = set()
        for symbol, watchers in clients.items():
            ticks = [await watcher.expect("price") for watcher in watchers for _ in range(3)]
            assert {tick.room for tick in ticks} == {symbol}
            senders = {tick.payload["worker"] for tick in ticks}
            assert len(senders) == 1
            workers |= senders
        assert workers == {0, 1}
        both = await running.connect(query=[("symbol", "ACME"), ("symbol", "BOLT")])
        for symbol in ("ACME", "BOLT"):
            await both.expect("price", room=symbol)
        summary = await both.expect("market", where=lambda frame: frame.payload["watchers"] == 19)
        assert summary.payload["worker"] == 0
        with pytest.raises(UpgradeRefusedError, match="404 there is no 'GOLD'"):
            await running.connect(query={"symbol": "GOLD"})
    assert "raised" not in running.log


async def test_prices_come_at_their_pace() -> None:
    async with serve("ticker:server", cwd=EXAMPLES) as running:
        client = await running.connect(query={"symbol": "ACME"})
        loop = asyncio.get_running_loop()
        await client.expect("price")
        begin = loop.time()
        for _ in range(6):
            await client.expect("price")
        assert 0.9 < loop.time() - begin < 5
