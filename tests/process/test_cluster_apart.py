"""Clients on two hosts that talk while a host stands still or is cut off from the others, or all are; `scripts/cluster-crowd`
does it with more of all, and for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crowds.cluster.crowd import SMALL, report, run


@pytest.mark.parametrize("trial", ["silent-3", "nats-5", "nats-15", "stopped"])
async def test_what_was_acknowledged_reaches_all_once_and_in_one_order_and_nobody_is_on_two_hosts(
    trial: str, tmp_path: Path
) -> None:
    outcome = await run(tmp_path, trial, SMALL)
    assert outcome.findings.stories == [], f"{report(outcome)}\n{outcome.log}"
    assert outcome.findings.kept >= 100, report(outcome)
    assert outcome.findings.sessions >= SMALL.clients, report(outcome)
