"""`wspulse.js` under Node: the scenarios, its delays in pretended time, and what it must not leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scripted_server import ScriptedServer, scenarios
from tests.support.processes.node import VERSIONS, node_of, run_node

HERE = Path(__file__).parent / "javascript"
CLIENT = Path(__file__).parents[2] / "actors" / "apps" / "page" / "wspulse.js"

SCENARIOS = [each for each in scenarios() if "javascript" in each.get("only", ["javascript"])]

versions = [
    pytest.param(
        version,
        marks=pytest.mark.skipif(
            node_of(version) is None, reason=f"no Node {version} here; scripts/node brings it, where it may"
        ),
    )
    for version in VERSIONS
]


@pytest.mark.parametrize("version", versions)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: dict[str, Any], version: str) -> None:
    async with ScriptedServer(scenario) as server:
        output, errors = await run_node(
            version,
            str(HERE / "node.mjs"),
            str(CLIENT),
            f"http://127.0.0.1:{server.port}",
            given=json.dumps(scenario),
        )
    assert json.loads(output) == []
    assert errors == "", "it logs nothing by itself"


@pytest.mark.parametrize("version", versions)
@pytest.mark.parametrize("name", ["pretended_time", "use_line"])
async def test_delays_and_leaks_in_pretended_time_and_the_hook_for_react(name: str, version: str) -> None:
    output, _ = await run_node(version, "--test", "--test-reporter=tap", str(HERE / f"{name}.test.mjs"))
    assert "\n# fail 0" in output, output
    assert "\n# pass 0" not in output
