"""The token of an exact session: a secret that says of which id it is, and what a client may make of that."""

from __future__ import annotations

import re

import pytest

from wspulse.actors.sessions.exact.token import id_in, is_same_token, new_token
from wspulse.actors.values.text.exact import Claim, check_event, claim_in


@pytest.mark.parametrize("connection_id", ["a", "ada", "é", "😀" * 64, "x" * 256, "a.b c,d;"])
def test_token_says_of_which_id_it_is_and_is_offered_as_a_subprotocol(connection_id: str) -> None:
    token = new_token(connection_id)
    assert id_in(token) == connection_id
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert claim_in(("wspulse.1", f"wspulse.resume.{token}.7")) == Claim(token, 7)


def test_tokens_of_one_id_differ_in_a_secret_of_128_bits() -> None:
    tokens = {new_token("ada")[:22] for _ in range(100)}
    assert len(tokens) == 100


def test_token_is_its_own_and_no_other() -> None:
    token = new_token("ada")
    assert is_same_token(token, token)
    assert not is_same_token(token, new_token("ada"))
    assert not is_same_token(token, token[:-1])
    assert not is_same_token(token, "é")


@pytest.mark.parametrize("token", ["", "x" * 22, "x" * 23, "x" * 22 + "!!!!", "x" * 22 + "gICA", "\ud83d" * 30])
def test_what_is_no_token_is_of_no_id(token: str) -> None:
    assert id_in(token) is None


@pytest.mark.parametrize(
    "name",
    [
        "wspulse.resume.",
        "wspulse.resume.short.1",
        f"wspulse.resume.{'x' * 22}",
        f"wspulse.resume.{'x' * 22}.",
        f"wspulse.resume.{'x' * 22}.-1",
        f"wspulse.resume.{'x' * 22}.1.5",
        f"wspulse.resume.{'x' * 22}.{'9' * 17}",
        f"wspulse.resume.{'x' * 22}.1e3",
        f"wspulse.resume.{'x' * 401}.1",
        f"Wspulse.resume.{'x' * 22}.1",
    ],
)
def test_malformed_claim_is_none(name: str) -> None:
    assert claim_in(("wspulse.1", name)) is None


@pytest.mark.parametrize("event", ["wspulse.", "wspulse.ack", "wspulse.anything"])
def test_events_of_the_protocol_are_no_applications(event: str) -> None:
    with pytest.raises(ValueError, match=r"^wspulse: events that begin with 'wspulse\.'"):
        check_event(event)


@pytest.mark.parametrize("event", ["", "wspulse", "wspulse-ack", "Wspulse.ack", "my.wspulse.ack"])
def test_other_events_are_the_applications(event: str) -> None:
    check_event(event)
