"""Clients whose server was killed come back spread out; `scripts/returning-crowd` does it with 2,000, and measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crowds.returning_crowd import STRIKES, histogram, returning_crowd


@pytest.mark.parametrize("strike", STRIKES)
async def test_clients_of_a_server_that_was_away_come_back_spread_out(strike: str, tmp_path: Path) -> None:
    outcome = await returning_crowd(tmp_path, clients=200, workers=2, strike=strike, steady_s=0)
    assert len(outcome.let_in_s) >= 200
    # A tenth of them in each tenth of the first second, and as many of those whom it was too early for; 200 are few.
    assert outcome.largest_share < 0.4, histogram(outcome)
