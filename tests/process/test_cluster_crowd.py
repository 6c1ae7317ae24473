"""Clients on two hosts that talk while processes of the cluster are killed; `scripts/cluster-crowd` does it with more of all, and
more happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crowds.cluster.crowd import SMALL, report, run


@pytest.mark.parametrize("trial", ["gateways", "host", "only-server", "server", "reload"])
async def test_what_was_acknowledged_reaches_all_once_and_in_one_order_whatever_is_killed(
    trial: str, tmp_path: Path
) -> None:
    outcome = await run(tmp_path, trial, SMALL)
    assert outcome.findings.stories == [], f"{report(outcome)}\n{outcome.log}"
    assert outcome.findings.kept >= 100, report(outcome)
    assert outcome.findings.sessions >= SMALL.clients + SMALL.walkers, report(outcome)
