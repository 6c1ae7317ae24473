"""`traceback_text`: an exception with its traceback, in lines of which none was made up by a peer.

Used by the formatters, and by a worker that tells why the application does not start. Exceptions quote their input, so a line
feed in an exception's text would begin a line that looks like any other of the log.
"""

from __future__ import annotations

from traceback import StackSummary, TracebackException
from types import TracebackType
from typing import Any

from wspulse.supervisor.logs.escaping import escaped, escaped_lines

__all__ = ["traceback_text"]


def traceback_text(error: BaseException, trace: TracebackType | None) -> str:
    """What Python prints of `error`, from `trace` on, without the last line feed. Its texts and notes, those of its causes
    and of what it groups, stand on one line each."""
    whole = TracebackException(type(error), error, trace, compact=True)
    parts = [whole]
    while parts:  # a tree: Python has cut what would come twice
        part = parts.pop()
        _escape(part)
        others = (part.__cause__, part.__context__, *(part.exceptions or ()))
        parts.extend(other for other in others if other is not None)
    # The texts are one line each now: what is left of line feeds is Python's own.
    return escaped_lines("".join(whole.format()).rstrip("\n"))


def _escape(part: TracebackException) -> None:
    part._str = escaped(part._str)  # type: ignore[attr-defined] # no public name, the same since Python 3.5
    notes: Any = part.__notes__  # whatever the application has put there
    if isinstance(notes, (list, tuple)):
        part.__notes__ = [escaped(_text_of(note)) for note in notes]
    elif notes is not None:
        part.__notes__ = [escaped(_text_of(notes))]
    _escape_syntax_error(part)
    _escape_stack(part.stack)


def _escape_syntax_error(part: TracebackException) -> None:
    """Where it is one, which has these: its text is a line of the source, which may be a peer's."""
    for name in ("msg", "filename", "text"):
        value = getattr(part, name, None)
        if isinstance(value, str):
            setattr(part, name, escaped(value.rstrip("\n")))


def _escape_stack(stack: StackSummary) -> None:
    for frame in stack:
        # Only a program that compiles what it was sent has such names. The source is not found under the other one then.
        frame.filename, frame.name = escaped(frame.filename), escaped(frame.name)


def _text_of(note: object) -> str:
    try:
        return str(note)
    except Exception:
        return "<a note that cannot be shown>"
