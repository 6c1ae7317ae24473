"""Slow readers beside healthy ones in one room; `scripts/slow-readers` does it with hundreds of them for minutes."""

from __future__ import annotations

import pytest

from tests.support.crowds.slow_readers import slow_readers
from tests.support.processes.server_process import serve_process


@pytest.mark.parametrize("workers", [1, 4])
async def test_slow_readers_live_and_take_no_memory_beside_healthy_ones(workers: int) -> None:
    options = ("--ping-period", "0.5", "--pong-wait", "1.5", "--send-buffer-size", "16", "--max-message-size", "65536")
    with serve_process("--app", "relay", *options, workers=workers) as server:
        outcome = await slow_readers(server, count=4, frames_per_s=200, alone_s=0.5, beside_s=9)
    assert outcome.cut == {}
    # They were behind, or this test shows nothing: a socket that is not blocked is pinged 18 times.
    assert 4 * 3 <= outcome.pings["slow"] < 4 * 15
    assert max(outcome.rss_bytes) - min(outcome.rss_bytes) < 30 * 2**20
