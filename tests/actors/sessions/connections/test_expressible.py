"""What of an application's state can travel, and what arrives as something else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from msgspec import Raw

from wspulse.actors.sessions.connections.expressible import altered, expressible


@dataclass
class Seat:
    row: int


class Colour(Enum):
    RED = 1


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("nobody compares it")

    __hash__ = None  # type: ignore[assignment]


AS_THEY_ARE: dict[str, Any] = {
    "text": "ä",
    "number": 7,
    "share": 0.5,
    "is_admin": True,
    "nothing": None,
    "data": b"\x00",
    "list": [1, [2, "three"]],
    "dict": {"a": {"b": 1}, 7: "seven"},
    "since": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
}


def test_what_msgpack_knows_arrives_as_it_is() -> None:
    assert expressible(AS_THEY_ARE) is AS_THEY_ARE
    assert altered(AS_THEY_ARE) == []


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1, 2},
        [{"at": (1, 2)}],
        date(2026, 1, 2),
        datetime(2026, 1, 2),  # noqa: DTZ001 - one without a zone
        UUID(int=7),
        Decimal("1.5"),
        Colour.RED,
        Seat(3),
        bytearray(b"a long one"),
    ],
    ids=repr,
)
def test_what_arrives_as_another_type_is_named(value: Any) -> None:
    state = {**AS_THEY_ARE, "it": value}
    assert expressible(state) is state
    is_same = isinstance(value, bytearray)
    assert altered(state) == ([] if is_same else ["it"]), "bytes are equal to a bytearray"


@pytest.mark.parametrize(
    "value", [object(), Raw(b'{"n": 1}'), [Raw(b"5")], Unequal()], ids=["object", "raw", "raws", "unequal"]
)
def test_what_cannot_travel_is_left_out(value: Any) -> None:
    assert expressible({**AS_THEY_ARE, "it": value}) == AS_THEY_ARE
