"""Printing for people, who may pipe it into `head`."""

from __future__ import annotations

import os
import sys

__all__ = ["print_text"]


def print_text(text: str) -> None:
    """Print to stdout, at once. That nobody reads any more is no error, neither now nor at exit."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
