"""Tables of text for people: columns as wide as what stands in them, numbers to the right."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

from wspulse.supervisor.commands.terminal import printable

__all__ = ["bytes_text", "counted", "duration_text", "table_lines"]


def table_lines(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table, the head first. Control characters in the cells are replaced: they are user input."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(_width(text) for text in column) for column in zip(head, *texts, strict=True)]
    is_number = [
        bool(rows) and all(isinstance(row[column], (int, float)) or row[column] is None for row in rows)
        for column in range(len(head))
    ]
    lines = []
    for line in (list(head), *texts):
        cells = []
        for text, width, right in zip(line, widths, is_number, strict=True):
            space = " " * (width - _width(text))
            cells.append(space + text if right else text + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def bytes_text(size: int | None) -> str:
    """34.3 MB, or - for unknown."""
    if size is None:
        return "-"
    value = float(size)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def counted(number: int, noun: str) -> str:
    """1 worker, 4 workers."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration_text(seconds: float) -> str:
    """42 s, 3 min 20 s, 5 h 3 min, 2 d 4 h."""
    whole = int(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s"


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value))


def _width(text: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text) if not text.isascii() else len(text)
