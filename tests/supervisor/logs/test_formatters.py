"""Log lines, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from wspulse.supervisor.logs.formatters import JsonFormatter, TextFormatter


@pytest.fixture(autouse=True)
def root_logger_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(style: str) -> io.StringIO:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("worker 2") if style == "json" else TextFormatter("worker 2"))
    logging.getLogger().handlers[:] = [handler]
    return stream


def one_object(stream: io.StringIO) -> dict[str, Any]:
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_text_line_has_time_level_role_message_and_fields() -> None:
    stream = logged("text")
    logging.getLogger("wspulse").warning("a session ended", extra={"connection": "alice", "frames": 3})
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning  worker 2: a session ended \(connection=alice, frames=3\) \[wspulse\]\n",
        stream.getvalue(),
    )


def test_text_field_of_a_peer_cannot_begin_a_line() -> None:
    stream = logged("text")
    logging.getLogger("wspulse").warning("odd", extra={"connection": "x\n2024-01-01 critical"})
    assert stream.getvalue().count("\n") == 1
    assert "x\\n2024" in stream.getvalue()


def test_text_exception_follows_its_line() -> None:
    stream = logged("text")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("wspulse").exception("it failed")
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("it failed [wspulse]")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: why"


def test_json_line_has_every_member() -> None:
    stream = logged("json")
    logging.getLogger("wspulse.supervisor").warning("a worker died", extra={"shard": 1, "error": OSError("x")})
    found = one_object(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found.pop("pid") > 0
    assert found == {
        "level": "warning",
        "logger": "wspulse.supervisor",
        "role": "worker 2",
        "message": "a worker died",
        "shard": 1,
        "error": "x",
    }


def test_json_exception_stays_in_its_line() -> None:
    stream = logged("json")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("wspulse").exception("it failed")
    assert one_object(stream)["exception"].endswith("ValueError: why")


def test_traceback_of_another_process_is_the_exception() -> None:
    stream = logged("json")
    logging.getLogger("wspulse").critical("it failed", extra={"traceback": "Traceback: there\n"})
    found = one_object(stream)
    assert found["exception"] == "Traceback: there"
    assert "traceback" not in found


def test_fields_cannot_replace_members() -> None:
    stream = logged("json")
    logging.getLogger("wspulse").warning("true", extra={"level": "debug", "role": "supervisor"})
    found = one_object(stream)
    assert (found["level"], found["role"], found["message"]) == ("warning", "worker 2", "true")


HOSTILE = "x\n2024-01-01T00:00:00.000Z critical forged\x1b[2J\r\x7f\x85\x9b\u2028\u2029\u202e\u2066"
"""Line ends of every kind, and what steers a terminal."""


class Raised(Exception):
    pass


def raise_with_cause_note_and_group() -> None:
    try:
        try:
            raise Raised(f"cause {HOSTILE}")
        except Raised as error:
            raise ExceptionGroup(f"group {HOSTILE}", [Raised(f"member {HOSTILE}")]) from error
    except ExceptionGroup as error:
        error.add_note(f"note {HOSTILE}")
        raise


def raise_syntax_error() -> None:
    compile(f"a = '{HOSTILE[2:]}", f"<{HOSTILE}>", "exec")


def raise_from_code_that_names_itself() -> None:
    exec(compile("def f():\n  raise ValueError\nf()", HOSTILE, "exec"), {})


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "fail", [raise_with_cause_note_and_group, raise_syntax_error, raise_from_code_that_names_itself]
)
def test_exception_of_a_peers_text_begins_no_line_and_steers_no_terminal(style: str, fail: Callable[[], None]) -> None:
    stream = logged(style)
    try:
        fail()
    except Exception:
        logging.getLogger("wspulse").exception("it failed")
    written = stream.getvalue()
    text = one_object(stream)["exception"] if style == "json" else written
    assert all(line.isprintable() for line in text.split("\n"))
    assert all(line.isprintable() for line in written.removesuffix("\n").split("\n"))
    assert not [line for line in text.split("\n") if line.startswith("2024-01-01")]
    assert "forged" in text


def test_tracebacks_own_lines_stay_lines() -> None:
    stream = logged("text")
    try:
        raise_with_cause_note_and_group()
    except ExceptionGroup:
        logging.getLogger("wspulse").exception("it failed")
    text = stream.getvalue()
    for own in (
        "\nTraceback (most recent call last):\n",
        "\nThe above exception was the direct cause",
        "\n  | note x\\n2024",
    ):
        assert own in text
    assert "Raised: member x\\n2024" in text
    assert "né 漢" in text_of_exception("né 漢")


def text_of_exception(text: str) -> str:
    stream = logged("text")
    try:
        raise Raised(text)
    except Raised:
        logging.getLogger("wspulse").exception("it failed")
    return stream.getvalue()


def test_exceptions_that_cause_each_other_and_cannot_be_shown_make_a_traceback() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise Raised

    stream = logged("text")
    first, second = Mute(), Raised("the second")
    first.__cause__, second.__cause__ = second, first
    first.add_note("a note")
    logging.getLogger("wspulse").error("it failed", exc_info=first)
    assert "the second" in stream.getvalue()
    assert "exception str() failed" in stream.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
def test_message_fields_and_logger_of_a_peer_stay_in_their_line(style: str) -> None:
    stream = logged(style)
    logging.getLogger(f"app.{HOSTILE}").warning("got %s", HOSTILE, extra={"frame": HOSTILE, "number": float("nan")})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.removesuffix("\n").isprintable()
    if style == "json":
        found = one_object(stream)
        assert (found["message"], found["frame"], found["number"]) == (f"got {HOSTILE}", HOSTILE, "nan")


def test_traceback_of_another_process_keeps_its_lines_only() -> None:
    stream = logged("text")
    logging.getLogger("wspulse").critical("it failed", extra={"traceback": "Traceback\n  there\x1b[2J\r\n"})
    assert stream.getvalue().split("\n")[1:] == ["Traceback", "  there\\x1b[2J\\r", ""]


@pytest.mark.parametrize("style", ["text", "json"])
def test_time_is_utc_in_whatever_zone_the_application_puts_its_process(
    style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = logged(style)
    try:
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        logging.getLogger("wspulse").warning("now")
    finally:
        monkeypatch.undo()
        time.tzset()
    (found,) = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stream.getvalue())
    assert abs(datetime.fromisoformat(found).timestamp() - time.time()) < 60
