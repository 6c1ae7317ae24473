"""What a program answers, as the worker gets it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wspulse.supervisor.control.bridge.wire import read_identity
from wspulse.supervisor.protocol.wire import read_request


def answered(**fields: Any) -> dict[str, Any]:
    return read_identity(read_request(json.dumps({"id": 1, **fields}).encode()), program=3)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("no", "no"),
        ({"message": "no", "code": "x"}, "no"),
        ("x" * 5_000_000, "x" * 4096),
        ("ä" * 5_000, "ä" * 4096),
        ({"code": "x"}, "refused"),
        ([[["deep"]]], "refused"),
        (7, "refused"),
        (None, "refused"),
    ],
)
def test_refusal_travels_with_as_much_of_its_text_as_a_client_is_told(error: Any, text: str) -> None:
    assert answered(ok=False, error=error) == {"status": 401, "text": text}


def test_identity_travels_with_the_program_that_gave_it() -> None:
    assert answered(ok=True, result={"room": "den"}) == {"room": "den", "connection": "", "program": 3}
    assert answered(ok=True, result={"room": "den", "connection": "x" * 300})["status"] == 503
    assert answered(ok=True, result={"room": 5})["status"] == 503
