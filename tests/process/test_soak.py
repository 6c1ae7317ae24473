"""A few seconds of a soak; `scripts/soak` does it for half an hour, and judges by that whether the server stays flat."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.soak import records
from tests.support.soak.crowd import KINDS
from tests.support.soak.run import Plan, soak


async def test_nothing_is_lost_in_a_short_soak_with_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await soak(tmp_path, Plan(duration_s=10, clients=30, sample_every_s=2, reload_every_s=3))
    assert outcome.held, (outcome.findings, outcome.kinds)
    assert {finding.seen for finding in outcome.findings} == {"0"}
    assert outcome.reloads >= 1
    assert outcome.moved >= 30
    kinds = {kind["kind"]: kind for kind in outcome.kinds}
    assert kinds.keys() == KINDS.keys()
    assert all(kind["heard"] > 0 for name, kind in kinds.items() if name != "idle")
    assert kinds["exact"]["came_back"] > 0
    assert outcome.samples[-1].processes.keys() >= {"supervisor", "worker 0", "worker 1", "tls 0", "admin"}
    assert all(sample.p50_ms > 0 for sample in outcome.samples)
    monkeypatch.setattr(records, "FILE", tmp_path / "kept" / "soak.json")
    records.keep(outcome)
    kept = records.kept()
    assert kept is not None
    assert len(kept["samples"]) == len(outcome.samples)
    ElementTree.fromstring(records.plot(kept))
