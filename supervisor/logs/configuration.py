"""`configure_logs`: everything that a process has to say goes to stderr as lines of one form, and nobody waits for it.

Called once in each process of a server, by `cli` and by a worker's entry before the application is loaded, which may then
configure logging as it likes. Handlers of its own, `print()` and what it writes to `sys.stderr` block when nobody reads.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, TextIO

from wspulse.supervisor.logs.formatters import JsonFormatter, TextFormatter
from wspulse.supervisor.logs.writer import LineWriter

__all__ = ["configure_logs", "tell"]

EXIT_FLUSH_S = 1.0
"""How long a process that ends waits for somebody to read its last lines."""

STDERR = 2

_logger = logging.getLogger("wspulse.supervisor")

_handlers: list[_LineHandler] = []
"""That of this process, once its logs are configured."""


def configure_logs(level: str, style: str, role: str, fd: int = STDERR) -> LineWriter:
    """Send all logging of this process to `fd`, and what Python itself says of warnings and of exceptions that nobody
    catches. `level` and `style` are values of the settings log_level and log_format; `role` is "supervisor" or "worker 2"."""
    formatter = JsonFormatter(role) if style == "json" else TextFormatter(role)
    writer = LineWriter(fd, lambda count: _note(formatter, count))
    root = logging.getLogger()
    root.handlers[:] = _handlers[:] = [_LineHandler(writer, formatter)]
    root.setLevel(level.upper())
    # Not by logging's own end: it forgets the handlers that were there before an application's configuration.
    atexit.register(writer.flush, EXIT_FLUSH_S)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_end_of_thread
    sys.unraisablehook = _log_unraisable
    warnings.showwarning = _log_warning
    return writer


def tell(text: str) -> None:
    """A line on stderr for the person who started the server, behind what was logged before."""
    if _handlers:
        _handlers[0].say(text)
    else:
        print(text, file=sys.stderr, flush=True)


class _LineHandler(logging.Handler):
    def __init__(self, writer: LineWriter, formatter: logging.Formatter) -> None:
        super().__init__()
        self._writer = writer
        self.formatter = formatter

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(_line(self.format(record)))
        except Exception:
            self.handleError(record)

    def say(self, text: str) -> None:
        """A line that is no record."""
        self.acquire()
        try:
            self._writer.write(_line(text))
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A record that makes no line, as of a message whose arguments do not fit. Logging's own way would be to print."""
        fields = {"where": f"{record.pathname}:{record.lineno}", "error": type(sys.exception()).__name__}
        instead = _made(record.name, logging.ERROR, "a log record cannot be formatted", fields)
        self._writer.write(_line(self.format(instead)))


def _line(text: str) -> bytes:
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _made(name: str, level: int, message: str, fields: dict[str, Any]) -> logging.LogRecord:
    own = {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
    return logging.makeLogRecord(own | fields)


def _note(formatter: logging.Formatter, count: int) -> bytes:
    message = "log lines were dropped: nothing reads stderr"
    return _line(formatter.format(_made(_logger.name, logging.WARNING, message, {"lines": count})))


# What Python would print to stderr by itself, and wait for.


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _logger.critical("a process of the server failed", exc_info=(kind, error, trace))


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = None if args.thread is None else args.thread.name
        error = (type(args.exc_value), args.exc_value, args.exc_traceback)
        _logger.error("a thread ended with an exception", exc_info=error, extra={"thread_name": name})


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    error = args.exc_value
    fields = {"what": args.err_msg or "exception ignored in", "where": type(args.object).__qualname__}
    if error is not None:
        _logger.error(
            "an exception was raised where nobody can catch it",
            exc_info=(type(error), error, args.exc_traceback),
            extra=fields,
        )


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    fields = {"category": category.__name__, "text": str(message), "where": f"{filename}:{lineno}"}
    logging.getLogger("py.warnings").warning("a Python warning", extra=fields)
