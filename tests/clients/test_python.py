"""`wspulse.client` does what `clients.json` says, as `wspulse.js` does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.python_runner import PythonRunner, matches
from tests.clients.scripted_server import ScriptedServer, scenarios

OURS = [scenario for scenario in scenarios() if "python" in scenario.get("only", ["python"])]


@pytest.mark.parametrize("scenario", OURS, ids=[scenario["name"] for scenario in OURS])
async def test_scenario(scenario: dict[str, Any]) -> None:
    async with ScriptedServer(scenario) as server:
        runner = PythonRunner(scenario, server)
        await runner.run()
        assert runner.report == {"ok": True, "failures": []}
    closes = any("close" in step or step.get("await") == "closed" for step in scenario["client"])
    seen = [[event, payload] for event, payload in runner.seen]
    if not closes:
        assert seen.pop()[0] == "wspulse.state", "the runner has closed the line"
    assert matches(scenario["sees"], seen), f"seen: {seen}"
    assert matches(scenario.get("results", {}), runner.results)
    assert matches(scenario.get("ends", {}), runner.ends)


def test_no_scenario_is_left_out_but_those_of_the_browser_alone() -> None:
    left_out = [scenario["name"] for scenario in scenarios() if scenario not in OURS]
    assert all(scenario["only"] == ["javascript"] for scenario in scenarios() if scenario["name"] in left_out)
    assert len({scenario["name"] for scenario in scenarios()}) == len(scenarios())
