"""A small reconnect storm; `scripts/storm` does it with 4,000 clients, and measures."""

from __future__ import annotations

from tests.support.crowds.storm import storm, table


async def test_all_clients_of_a_storm_come_back_and_nobody_who_stayed_is_lost() -> None:
    outcome = await storm(200, stay=10, workers=2, options=("--accept-rate", "100"), before_s=0.3)
    assert len(outcome.back_s) == outcome.tries == 200, table(outcome)
    assert outcome.lost == 0
    assert outcome.limited.keys() == {"limited_accept_rate"}
    assert outcome.asked_before_s
    assert outcome.asked_during_s
