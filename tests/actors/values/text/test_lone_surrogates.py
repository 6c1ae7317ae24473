r"""Halves of surrogate pairs in JSON: `"\ud83d"`, what a browser sends of a text that was cut inside an emoji."""

from __future__ import annotations

import json
from random import Random
from re import Match
from typing import Any

import msgspec
import pytest

from wspulse.actors.values.text import lone_surrogates
from wspulse.actors.values.text.lone_surrogates import decode_json, without_lone_surrogates

PIECES = (
    r"\ud83d",
    r"\uD83D",
    r"\ude00",
    r"\uDE00",
    r"\ud83d\ude00",
    r"\\",
    r"\"",
    r"\n",
    r"\u00e9",
    r"\ufffd",
    "ud83d",
    "é",
    "\U0001f600",
    "a",
    "{}[],:",
)


def drawn_text(draw: Random) -> str:
    return '"' + "".join(draw.choices(PIECES, k=draw.randrange(6))) + '"'


def drawn_value(draw: Random, depth: int = 0) -> str:
    kind = draw.randrange(4 if depth < 3 else 2)
    if kind == 0:
        return drawn_text(draw)
    if kind == 1:
        return draw.choice(["1", "null", "-1.5e3", "9" * 5000])
    space = draw.choice(["", " ", "\n\t"])
    values = [drawn_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 2:
        return f"[{space}{','.join(values)}{space}]"
    return f"{{{space}{','.join(drawn_text(draw) + space + ':' + value for value in values)}{space}}}"


def test_each_half_of_a_pair_becomes_a_replacement_and_whole_pairs_stay(draw: Random) -> None:
    for _ in range(2000):
        text = drawn_text(draw)
        replaced = without_lone_surrogates(text.encode())
        assert len(replaced) == len(text.encode())
        assert [c if not "\ud800" <= c <= "\udfff" else "\ufffd" for c in json.loads(text)] == list(
            msgspec.json.decode(replaced)
        ), text


def test_escapes_of_no_surrogate_are_passed_over_without_a_call_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def replaced(found: Match[bytes]) -> bytes:
        calls.append(found[0])
        return found[0]

    monkeypatch.setattr(lone_surrogates, "_replaced", replaced)
    without_lone_surrogates(rb'{"payload":"' + rb"\n\"\\\u00e9\\ud83d" * 1000 + rb'\ud83d"}')
    assert calls == [rb"\ud83d"]


@pytest.mark.parametrize(
    ("data", "type_", "value"),
    [
        (rb'"\ud83d"', Any, "\ufffd"),
        (rb'{"\ud83d":["\ude00\ud83d", "\ud83d\ude00"]}', Any, {"\ufffd": ["\ufffd\ufffd", "\U0001f600"]}),
        (rb'"\\ud83d\ude00"', str, "\\ud83d\ufffd"),
        (rb'"\\\ud83d"', str, "\\\ufffd"),
    ],
)
def test_decoding_reads_halves_as_replacements(data: bytes, type_: Any, value: Any) -> None:
    assert decode_json(data, type_) == value
    assert decode_json(msgspec.Raw(data), type_) == value


@pytest.mark.parametrize("data", [rb'"\ud83d', rb'{"a":"\ud83d"', rb'"\ud83d" 1', rb'"\u12"', rb'"\ud83d\u12"', b"{"])
def test_what_is_malformed_beside_its_halves_is_still_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_json(data)


def test_type_that_does_not_fit_is_told_with_its_path() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `str` - at `\$\[0\]`"):
        decode_json(rb'["\ud83d"]', list[int])
