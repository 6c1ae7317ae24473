"""After which ends a line comes back, and when the server has said so."""

from __future__ import annotations

import pytest

from wspulse.actors.client.ending import End, comes_back, told_delay_s


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 3000, 3999])
def test_line_comes_back_after_what_may_pass(code: int) -> None:
    assert comes_back(End(code), has_stray=False)


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 4000, 4001, 4999])
def test_line_stays_away_after_what_would_only_come_again(code: int) -> None:
    assert not comes_back(End(code, "some reason"), has_stray=True)


def test_line_that_was_replaced_comes_back_only_where_it_may_have_replaced_itself() -> None:
    assert not comes_back(End(1000, "replaced"), has_stray=False)
    assert comes_back(End(1000, "replaced"), has_stray=True)
    assert not comes_back(End(1000, "duplicate connection id"), has_stray=False)
    assert comes_back(End(1000, "duplicate connection id"), has_stray=True)
    assert not comes_back(End(1000, "kicked"), has_stray=True)


@pytest.mark.parametrize(
    ("status", "comes"), [(200, True), (401, False), (403, False), (404, True), (409, True), (500, True)]
)
def test_refused_upgrade_is_final_where_the_credentials_are_wrong(status: int, comes: bool) -> None:
    assert comes_back(End(1006, "", status), has_stray=False) is comes


@pytest.mark.parametrize(
    ("reason", "delay_s"),
    [
        ("service restart; retry=1500", 1.5),
        ("retry=0", 0.0),
        ("try again later; retry=30; more", 0.03),
        ("service restart; retry=999999999", 3600.0),
        ("service restart; retry=99999999999999999999", 3600.0),
        ("service restart; retry=1e99", None),
        ("service restart; retry=\u0663", None),
        ("service restart; retry=-5", None),
        ("service restart; retry=", None),
        ("noretry=5", None),
        ("", None),
    ],
)
def test_delay_in_a_close_reason_is_milliseconds(reason: str, delay_s: float | None) -> None:
    assert told_delay_s(reason) == delay_s
