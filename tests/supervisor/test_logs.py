"""Log lines, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from wspulse.supervisor.logs import configure_logs


@pytest.fixture(autouse=True)
def root_logger_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(style: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logs(level, style, "worker 2", stream)
    return stream


def one_object(stream: io.StringIO) -> dict[str, Any]:
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_text_line_has_time_level_role_message_and_fields() -> None:
    stream = logged("text")
    logging.getLogger("wspulse").info("a session ended", extra={"connection": "alice", "frames": 3})
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info    worker 2: a session ended \(connection=alice, frames=3\) \[wspulse\]\n",
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


def test_level_leaves_out_what_is_below() -> None:
    stream = logged("text", "warning")
    logging.getLogger("wspulse").info("quiet")
    logging.getLogger("app").warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
