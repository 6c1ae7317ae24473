"""Bar charts as SVG: one bar per case of a question, the shorter the better."""

from __future__ import annotations

from html import escape
from typing import Any

from bench.support.palette import FLOOR, OURS, PEER, opening
from bench.support.subjects import PEERS

__all__ = ["bars"]

_LEFT, _WIDTH, _BAR, _STEP = 260, 420, 16, 24


def bars(result: dict[str, Any]) -> str:
    """The figures of a result's rows. Ours, the floor and the peers differ in colour."""
    rows = result["rows"]
    largest = max(row["figure"] for row in rows)
    title = escape(f"{result['name'].replace('_', ' ')}, {result['unit']}")
    parts = [
        *opening(_LEFT + _WIDTH + 100, _STEP * len(rows) + 34),
        f'<text class="ink" x="8" y="18" font-weight="bold">{title}</text>',
    ]
    for number, row in enumerate(rows):
        y = 30 + number * _STEP
        width = max(1, round(_WIDTH * row["figure"] / largest))
        colour = FLOOR if row["name"].startswith("floor") else PEER if row["name"] in PEERS else OURS
        parts += [
            f'<text class="ink" x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(row["name"])}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="{colour}"/>',
            f'<text class="ink" x="{_LEFT + width + 6}" y="{y + 13}">{row["figure"]:.3g}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
