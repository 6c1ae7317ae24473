"""How a record becomes a line: for people, or one JSON object.

Messages are constant; what varies stands in `extra` and appears as name=value behind the message, or as members of the object.
`traceback` in `extra` is the text of an exception that happened in another process. Every process of a server has the same
clock, UTC: an application may set the time zone of its workers, and a zone's offset changes twice a year.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from wspulse.supervisor.logs.escaping import escaped, escaped_lines
from wspulse.supervisor.logs.tracebacks import traceback_text

__all__ = ["JsonFormatter", "TextFormatter"]

_OWN_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "traceback"}


class TextFormatter(logging.Formatter):
    """`2024-05-01T12:00:00.123Z info     worker 2: a session ended (connection=alice) [wspulse]`"""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        fields = ", ".join(f"{name}={value}" for name, value in _fields(record).items())
        line = (
            f"{_moment(record)} {record.levelname.lower():8} {self._role}: {record.getMessage()}"
            + (f" ({fields})" if fields else "")
            + f" [{record.name}]"
        )
        return "\n".join((escaped(line), *_exception_text(self, record)))


class JsonFormatter(logging.Formatter):
    """One object per line: time, level, logger, role, message, pid, the record's own fields, and the exception's text under
    `exception`."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "role": self._role,
            "pid": record.process,
            "message": record.getMessage(),
        }
        for name, value in _fields(record).items():
            members.setdefault(name, value)
        if exception := "\n".join(_exception_text(self, record)):
            members["exception"] = exception
        return _object(members)


def _moment(record: logging.LogRecord) -> str:
    """RFC 3339."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{moment}.{int(record.msecs):03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN_ATTRIBUTES}


def _object(members: dict[str, Any]) -> str:
    """All that is no printable ASCII is escaped in it."""
    try:
        return json.dumps(members, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError):  # a number that JSON has not, a key that is none, a circle
        return json.dumps({name: value if type(value) is int else str(value) for name, value in members.items()})


def _exception_text(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    parts = []
    if record.exc_info and record.exc_info[1] is not None:
        parts.append(traceback_text(record.exc_info[1], record.exc_info[2]))
    if record.stack_info:
        parts.append(escaped_lines(formatter.formatStack(record.stack_info)))
    if elsewhere := getattr(record, "traceback", None):
        parts.append(escaped_lines(str(elsewhere).rstrip("\n")))
    return parts
