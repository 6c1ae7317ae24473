"""Printing for people: text that a terminal shows as it is, to those who may have piped it into `head`."""

from __future__ import annotations

import os
import sys

__all__ = ["leave_stdout", "print_text", "printable"]


def print_text(text: str) -> None:
    """Print to stdout, at once. That nobody reads any more is no error, neither now nor at exit."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        leave_stdout()


def leave_stdout() -> None:
    """After a BrokenPipeError: nobody reads any more, also not what Python still writes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def printable(text: str) -> str:
    """Without control characters, which would steer the terminal: ids and payloads are user input."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "�" for letter in text)
