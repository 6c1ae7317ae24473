"""What fits into a terminal: columns of a table, and lines of phrases."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["GAP", "MUCH", "fitting", "flowed"]

MUCH = 10_000
"""Columns and lines, where nothing is to be left out."""

GAP = 2
"""Between two columns."""


def fitting(columns: Sequence[Sequence[str]], importances: Sequence[int], width: int) -> list[int]:
    """Which columns stand side by side in `width`, by their places: the most important ones, which have the lowest numbers."""
    left = width
    places: list[int] = []
    for place in sorted(range(len(columns)), key=lambda place: importances[place]):
        needed = max(map(len, columns[place])) + (GAP if places else 0)
        if needed > left:
            break
        left -= needed
        places.append(place)
    return sorted(places)


def flowed(phrases: list[str], width: int) -> list[str]:
    """Lines of whole phrases."""
    lines: list[str] = []
    for phrase in phrases:
        if lines and len(lines[-1]) + 3 + len(phrase) <= width:
            lines[-1] += "   " + phrase
        else:
            lines.append(phrase)
    return lines
