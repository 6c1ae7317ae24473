"""What the kinds of options say about themselves in the documents; what they refuse is in the tests of the options."""

from __future__ import annotations

from typing import Any

import pytest

from wspulse.actors.values.options.kinds import Checked, Count, Duration, OneOf, OptionKind, Truth


@pytest.mark.parametrize(
    ("kind", "default", "allowed", "default_text"),
    [
        (Duration(0, 180), 0.0, "0 … 180 s", "0 s (off)"),
        (Duration(0.5, 3600), 1.5, "0.5 … 3600 s", "1.5 s"),
        (Duration(0, 300, above=True), 10.0, "above 0, up to 300 s", "10 s"),
        (Duration(0, 600, above=True, floor="ping_period"), 30.0, "above ping_period, up to 600 s", "30 s"),
        (Count(1, 4096, "frames"), 256, "1 … 4096 frames", "256 frames"),
        (Truth(), False, "bool", "False"),
        (OneOf(("kick", "reject")), "kick", '"kick", "reject"', '"kick"'),
        (Checked("a codec", "JSONCodec()", lambda value: value), object(), "a codec", "JSONCodec()"),
    ],
)
def test_kind_says_what_it_allows_and_its_default(
    kind: OptionKind, default: Any, allowed: str, default_text: str
) -> None:
    assert (kind.allowed, kind.default_text(default)) == (allowed, default_text)


def test_final_form_of_what_is_checked_is_what_the_check_returns() -> None:
    assert Checked("a name", "none", str.strip).checked(" a ") == "a"
    assert OneOf(("kick", "reject")).checked("reject") == "reject"


def test_refusal_of_a_name_lists_the_others() -> None:
    with pytest.raises(ValueError, match=r"^'x' is unknown; allowed: 'a', 'b' or 'c'$"):
        OneOf(("a", "b", "c")).checked("x")
