"""Text for lines of a log: what came from a peer can neither begin a line of its own nor steer the terminal that shows it.

Used by everything that makes such lines. Pure functions.
"""

from __future__ import annotations

__all__ = ["escaped", "escaped_lines"]


def escaped(text: str) -> str:
    """On one line, what is not printable as in a Python string: line ends, control characters, those that turn the direction
    of writing, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def escaped_lines(text: str) -> str:
    """The same, with the line feeds kept: for text whose lines are our own."""
    return "\n".join(map(escaped, text.split("\n")))
