"""Bar charts as SVG: one bar per case of a question, the shorter the better."""

from __future__ import annotations

from html import escape
from typing import Any

from bench.support.subjects import PEERS

__all__ = ["bars"]

_LEFT, _WIDTH, _BAR, _STEP = 260, 420, 16, 24


def bars(result: dict[str, Any]) -> str:
    """The figures of a result's rows. Ours are dark, the floor is light."""
    rows = result["rows"]
    largest = max(row["figure"] for row in rows)
    size = f'width="{_LEFT + _WIDTH + 100}" height="{_STEP * len(rows) + 34}"'
    title = escape(f"{result['name'].replace('_', ' ')}, {result['unit']}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="18" font-weight="bold">{title}</text>',
    ]
    for number, row in enumerate(rows):
        y = 30 + number * _STEP
        width = max(1, round(_WIDTH * row["figure"] / largest))
        colour = "#b8c4d0" if row["name"].startswith("floor") else "#8a5a9c" if _is_peer(row) else "#1f5f8b"
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(row["name"])}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 6}" y="{y + 13}">{row["figure"]:.3g}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _is_peer(row: dict[str, Any]) -> bool:
    return row["name"] in PEERS
