"""Logs: one line per record on stderr, for people or as one JSON object.

Configured once in each process, with the process's role. Messages are constant; what varies stands in `extra` and
appears as name=value behind the message, or as members of the object. `traceback` in `extra` is the text of an
exception that happened in another process.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

__all__ = ["JsonFormatter", "TextFormatter", "configure_logs"]

_OWN_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "traceback"}


def configure_logs(level: str, style: str, role: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (stderr). `level` and `style` are values of the settings log_level
    and log_format; `role` is "supervisor" or "worker 2"."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(role) if style == "json" else TextFormatter(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """`2024-05-01 12:00:00.123 info    worker 2: a session ended (connection=alice) [wspulse]`"""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        fields = ", ".join(f"{name}={_one_line(value)}" for name, value in _fields(record).items())
        line = (
            f"{moment}.{int(record.msecs):03d} {record.levelname.lower():8}{self._role}: {record.getMessage()}"
            + (f" ({fields})" if fields else "")
            + f" [{record.name}]"
        )
        return "\n".join((line, *_exception_text(self, record)))


class JsonFormatter(logging.Formatter):
    """One object per line: time (UTC, RFC 3339), level, logger, role, message, pid, the record's own fields, and the
    exception's text under `exception`."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        members: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
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
        return json.dumps(members, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN_ATTRIBUTES}


def _one_line(value: Any) -> str:
    """A field may come from a peer, who must not be able to write lines of the log."""
    text = str(value)
    return text if text.isprintable() else ascii(text)


def _exception_text(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    parts = []
    if record.exc_info and record.exc_info[1] is not None:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    if elsewhere := getattr(record, "traceback", None):
        parts.append(str(elsewhere).rstrip("\n"))
    return parts
