"""Lines of `wspulse.js` whose sockets die at random, on two workers: nothing is lost, doubled or out of order."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tests.support.processes.cutting_proxy import CuttingProxy
from tests.support.processes.node import node_of, run_node
from tests.support.processes.server_process import serve_process

CROWD = Path(__file__).parents[1] / "clients" / "javascript" / "crowd.mjs"
LINES = 8
FRAMES = 200


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(
            version, marks=pytest.mark.skipif(node_of(version) is None, reason=f"no Node {version} here: scripts/node")
        )
        for version in ("20", "22")
    ],
)
async def test_sockets_that_are_cut_at_random_lose_and_double_nothing(version: str, draw: Random) -> None:
    options = ("--resume-window", "60", "--send-buffer-size", "4096", "--send-buffer-bytes", "10000000")
    with serve_process(*options, workers=2) as server:
        async with CuttingProxy("127.0.0.1", server.port, draw) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/ws"
            output, _ = await run_node(version, str(CROWD), url, str(LINES), str(FRAMES), limit_s=120)
    told = json.loads(output)
    assert told["problems"] == []
    assert told["heard"] == LINES * LINES * FRAMES
    assert told["returns"] >= LINES * 5, f"it was no test: {proxy.cuts} cuts"
