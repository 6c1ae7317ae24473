"""Printing for people: text that a terminal shows as it is, to those who may have piped it into `head` or to a full disk; and
the exit code of a command that could not print.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

__all__ = ["OutputError", "exit_code_of", "leave_stdout", "print_error", "print_text", "printable"]


class OutputError(Exception):
    """stdout takes nothing. The text says why; it is empty where its reader has gone, who has seen enough."""


def print_text(text: str) -> None:
    """Print to stdout, at once. Raises OutputError, after which nothing of it is written at exit either."""
    if sys.stdout is None:
        raise OutputError("it is closed")
    try:
        print(text, flush=True)
    except UnicodeEncodeError:
        print_text(text.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding))
    except BrokenPipeError:
        leave_stdout()
        raise OutputError("") from None
    except OSError as error:
        leave_stdout()
        raise OutputError(error.strerror or str(error)) from None


def print_error(text: str) -> None:
    """Print to stderr, if it takes anything: the exit code says the same."""
    if sys.stderr is not None:
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:
            pass


def exit_code_of(run: Callable[[], int]) -> int:
    """What `run` returns; 0 where the reader of its output has gone, 1 where it could not be written, which is said, 130 after
    a ^C."""
    try:
        return run()
    except OutputError as error:
        if not str(error):
            return 0
        print_error(f"wspulse: cannot write to stdout: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def leave_stdout() -> None:
    """After a failure: nobody takes any more, also not what Python still writes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def printable(text: str) -> str:
    """Without control characters, which would steer the terminal: ids and payloads are user input."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "�" for letter in text)
