"""Line charts as SVG: a panel for each value, a line for each server."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

from bench.support.palette import colours, in_turn, opening
from bench.support.subjects import PEERS

__all__ = ["lines"]

_LEFT, _TOP, _HEIGHT = 78, 26, 210
_WIDTH, _WIDTH_ALONE = 320, 520
_BELOW, _GAP = 52, 24
_HEAD, _LEGEND, _LEGEND_COLUMN, _COLUMNS = 30, 22, 200, 2

_MARKS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "M-3.5,-3.5h7v7h-7z",
    "M0,-4.5L4.5,3.5h-9z",
    "M0,-5L5,0L0,5L-5,0z",
    "M0,4.5L4.5,-3.5h-9z",
    "M-4.5,-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z",
    "M-5,-2.5h10v5h-10z",
    "M-2.5,-5h5v10h-5z",
)
"""A line is known by its mark too, where colours cannot be told apart: the last is for what is not listed below."""

_MOST_PLACES, _MOST_MARKS = 24, 12

_KNOWN = ("floor", "wspulse", *PEERS)

_Mark = tuple[str, str, str]


@dataclass
class _Scale:
    """Where a value is between the ends of an axis, 0 to 1; and the values that are written there."""

    ticks: list[float]
    log: bool

    def place(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        if self.log:
            return math.log(max(value, low) / low) / math.log(high / low)
        return (value - low) / (high - low)


def lines(result: dict[str, Any]) -> str:
    """The rows of a result over their `at`, as its `over` says."""
    rows, over = result["rows"], result["over"]
    names = list(dict.fromkeys(row["series"] for row in rows))
    marks = _marks(names)
    columns = min(_COLUMNS, len(over["panels"]))
    panel_rows = -(-len(over["panels"]) // columns)
    panel_width = _WIDTH if columns > 1 else _WIDTH_ALONE
    width = columns * (_LEFT + panel_width + _GAP)
    per_line = max(1, (width - 16) // _LEGEND_COLUMN)
    top = _HEAD + (-(-len(names) // per_line) * _LEGEND if len(names) > 1 else 0)
    title = escape(f"{result['name'].replace('_', ' ')}, on {result['machine']['cores']} cores")
    parts = [
        *opening(width, top + panel_rows * (_TOP + _HEIGHT + _BELOW)),
        f'<text class="ink" x="8" y="20" font-weight="bold">{title}</text>',
    ]
    for number, name in enumerate(names if len(names) > 1 else []):
        x, y = 16 + number % per_line * _LEGEND_COLUMN, _HEAD + 8 + number // per_line * _LEGEND
        parts.append(_line([(x, y), (x + 15, y), (x + 30, y)], marks[name], marked=slice(1, 2)))
        parts.append(f'<text class="ink" x="{x + 38}" y="{y + 4}">{escape(name)}</text>')
    across = _across(sorted({row["at"] for row in rows}))
    shared = _values(rows, list(over["panels"]), log=True) if over["log"] else None
    for number, (key, label) in enumerate(over["panels"].items()):
        x = _LEFT + number % columns * (_LEFT + panel_width + _GAP)
        y = top + _TOP + number // columns * (_TOP + _HEIGHT + _BELOW)
        up = shared or _values(rows, [key], log=False)
        parts += [f'<g transform="translate({x},{y})">', *_frame(across, up, panel_width, over["axis"], label)]
        for name in names:
            mine = [(row["at"], row[key]) for row in rows if row["series"] == name and key in row]
            places = [(panel_width * across.place(at), _HEIGHT * (1 - up.place(value))) for at, value in mine]
            if places:
                parts.append(_line(places, marks[name], marked=slice(None, None, 1 + len(places) // _MOST_MARKS)))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _marks(names: list[str]) -> dict[str, _Mark]:
    """Servers look the same in every chart; what a chart has besides differs within it."""
    if any(name.partition(",")[0] in _KNOWN for name in names):
        fills, shapes = colours(names), [_KNOWN.index(name) if name in _KNOWN else -1 for name in names]
    else:
        fills, shapes = in_turn(names), [number % len(_MARKS) for number in range(len(names))]
    return {name: (fills[name], _MARKS[shape], _dash(name)) for name, shape in zip(names, shapes, strict=True)}


def _frame(across: _Scale, up: _Scale, width: int, axis: str, label: str) -> list[str]:
    parts = [f'<text class="ink" x="{8 - _LEFT}" y="-10">{escape(label)}</text>']
    for value in up.ticks:
        y = _HEIGHT * (1 - up.place(value))
        parts.append(f'<line class="grid" x1="0" y1="{y:.1f}" x2="{width}" y2="{y:.1f}"/>')
        parts.append(f'<text class="ink" x="-8" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    last = -math.inf
    for value in across.ticks:
        x = width * across.place(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{_HEIGHT}"/>')
        text = _number(value)
        if x - last > 8 * len(text) + 6:  # else it would run into its neighbour
            parts.append(f'<text class="ink" x="{x:.1f}" y="{_HEIGHT + 18}" text-anchor="middle">{text}</text>')
            last = x
    middle, y = width / 2, _HEIGHT + 38
    return [*parts, f'<text class="ink" x="{middle:g}" y="{y}" text-anchor="middle">{escape(axis)}</text>']


def _line(places: list[tuple[float, float]], mark: _Mark, marked: slice = slice(None)) -> str:
    colour, shape, dash = mark
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    parts += [
        f'<path class="point" transform="translate({x:.1f},{y:.1f})" d="{shape}" fill="{colour}"/>'
        for x, y in places[marked]
    ]
    return "\n".join(parts)


def _dash(name: str) -> str:
    """A variant, as "wspulse, resume on", has the colour of what it is a variant of."""
    return ' stroke-dasharray="6 4"' if "," in name else ""


def _across(places: list[float]) -> _Scale:
    """The measured places themselves are written, unless they are many; counts of workers and the like begin at 0."""
    if len(places) > _MOST_PLACES:
        return _round(places[-1])
    return _Scale(places if places[0] == 0 else [0, *places], log=False)


def _values(rows: list[dict[str, Any]], keys: list[str], *, log: bool) -> _Scale:
    values = [row[key] for row in rows for key in keys if key in row]
    if log:
        low, high = math.floor(math.log10(max(min(values), 1e-3))), math.ceil(math.log10(max(values)))
        return _Scale([10.0**power for power in range(low, max(high, low + 1) + 1)], log=True)
    return _round(max(values))


def _round(highest: float) -> _Scale:
    """From 0 to at least this, in some five steps of a round number."""
    rough = highest / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    return _Scale([step * number for number in range(math.ceil(highest / step) + 1)], log=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
