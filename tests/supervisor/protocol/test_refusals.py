"""Refusals: errors of two kinds."""

from __future__ import annotations

import copy
import pickle

import pytest

from wspulse.actors.values import errors
from wspulse.actors.values.errors import (
    ConnectionNotFoundError,
    ControlError,
    ShardUnavailableError,
    WspulseError,
    error_from_code,
    error_subject,
)
from wspulse.supervisor.protocol.refusals import refusal

KINDS = [
    errors.ConnectionNotFoundError("ada"),
    errors.ConnectionClosedError("ada"),
    errors.SendBufferFullError("ada"),
    errors.ServerClosedError(),
    errors.ShardUnavailableError("shard 2 is silent"),
]


def refused(error: WspulseError) -> ControlError:
    """As a client makes it of what the server sends of an error."""
    return refusal({"code": error.code, "message": str(error)}, "ada")


@pytest.mark.parametrize("error", KINDS, ids=lambda error: str(error.code))
def test_refusal_has_the_text_the_code_and_the_fields_of_the_servers_error(error: WspulseError) -> None:
    made = refused(error)
    assert isinstance(made, type(error))
    assert isinstance(made, ControlError)
    assert (str(made), made.code, made.error_code) == (str(error), error.code, error.code)
    assert error_subject(made) == error_subject(error)
    back = error_from_code(made.error_code, error_subject(made))
    assert (type(back), str(back)) == (type(error), str(error))


@pytest.mark.parametrize("error", KINDS, ids=lambda error: str(error.code))
def test_refusal_survives_being_copied_and_pickled(error: WspulseError) -> None:
    made = refused(error)
    for other in (copy.copy(made), pickle.loads(pickle.dumps(made))):
        assert type(other) is type(made)
        assert (str(other), other.error_code) == (str(made), made.error_code)
        assert error_subject(other) == error_subject(made)


def test_connection_of_a_refusal_is_the_one_that_was_asked_about() -> None:
    made = refused(ConnectionNotFoundError("ada"))
    assert isinstance(made, ConnectionNotFoundError)
    assert made.connection_id == "ada"


def test_reason_of_a_refusal_is_the_servers() -> None:
    made = refused(ShardUnavailableError("shard 2 is silent"))
    assert isinstance(made, ShardUnavailableError)
    assert made.reason == "shard 2 is silent"


@pytest.mark.parametrize("told", [{"code": "bad_request", "message": "wspulse: no"}, {"code": "later"}, {}, None])
def test_refusal_with_another_code_is_a_control_error_alone(told: dict[str, str] | None) -> None:
    made = refusal(told)
    assert type(made) is ControlError
    assert made.error_code == (told or {}).get("code", "internal")
