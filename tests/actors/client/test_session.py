"""What a client knows of its session: what it offers, counts and acknowledges, and what of a server's it does not believe."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wspulse.actors.client.outbox import Outbox, Outgoing
from wspulse.actors.client.session import BadPeerError, LineSession, NoSessionError
from wspulse.actors.values.frame import Frame

START = {
    "id": "c",
    "token": "t",
    "window": 30,
    "ping": 10,
    "ack": [3, 100],
    "received": 0,
    "recovered": False,
    "lost": 0,
}


def frame(event: str, payload: Any) -> Frame:
    """As it comes off the wire."""
    return Frame(event, msgspec.Raw(msgspec.json.encode(payload)))


def start(**fields: Any) -> Frame:
    return frame("wspulse.session", {**START, **fields})


def fresh() -> LineSession:
    return LineSession(Outbox(10, 1000))


def opened(**fields: Any) -> LineSession:
    session = fresh()
    assert session.offers() == ["wspulse.1"]
    session.open_exact(start(**fields))
    return session


def sent(session: LineSession, *names: str) -> None:
    """Pushed and written."""
    for name in names:
        session.outbox.push(Outgoing(Frame(name), "12345"))
        session.outbox.next()


def test_resume_is_offered_with_the_token_and_the_count() -> None:
    session = opened(token="secret")
    session.take(10)
    session.take(10)
    assert session.offers() == ["wspulse.1", "wspulse.resume.secret.2"]


def test_resumed_session_goes_on_and_counts_over_what_was_dropped() -> None:
    session = opened()
    session.take(10)
    sent(session, "a", "b")
    session.offers()
    opening = session.open_exact(start(recovered=True, received=1, lost=5))
    assert opening == (True, 5, [])
    assert session.received == 6
    assert [item.frame.event for item in iter(session.outbox.next, None)] == ["b"]
    assert session.offers()[1] == "wspulse.resume.t.6"


def test_another_session_gives_back_what_was_written_and_counts_from_nothing() -> None:
    session = opened()
    session.take(10)
    sent(session, "a", "b")
    session.outbox.acknowledge(1)
    session.offers()
    opening = session.open_exact(start(token="u", lost=9))
    assert (opening.recovered, opening.lost, [each.event for each in opening.unacknowledged]) == (False, 0, ["b"])
    assert session.received == session.outbox.sent == 0


def test_first_session_has_lost_nothing() -> None:
    assert fresh().open_exact(start()) == (True, 0, [])
    assert fresh().open_plain() == (True, 0, [])


def test_plain_connection_after_an_exact_one_is_another_session() -> None:
    session = opened()
    sent(session, "a")
    session.offers()
    opening = session.open_plain()
    assert (opening.recovered, [each.event for each in opening.unacknowledged]) == (False, ["a"])
    assert not session.is_exact
    assert session.offers() == ["wspulse.1"]
    assert session.open_exact(start()).recovered is False


def test_acknowledgement_is_due_after_as_many_frames_or_bytes_as_the_server_wants() -> None:
    session = opened()
    assert (session.owes, session.owes_much) == (False, False)
    session.take(10)
    session.take(10)
    assert (session.owes, session.owes_much) == (True, False)
    session.take(10)
    assert session.owes_much
    assert session.acknowledgement() == Frame("wspulse.ack", 3)
    assert not session.owes
    session.take(100)
    assert session.owes_much
    assert session.acknowledgement() == Frame("wspulse.ack", 4)
    session.take(99)
    assert not session.owes_much


def test_frames_lost_on_a_living_line_are_counted() -> None:
    session = opened()
    assert session.skip(frame("wspulse.lost", 7)) == 7
    assert session.received == 7
    assert session.owes_much


def test_offer_counts_as_an_acknowledgement() -> None:
    session = opened()
    session.take(10)
    session.offers()
    session.open_exact(start(recovered=True))
    assert not session.owes


def test_server_that_says_nothing_new_asks_only_for_what_it_does_not_know() -> None:
    session = opened()
    sent(session, "a")
    session.take(10)
    assert not session.acknowledged(frame("wspulse.ack", 1))
    assert session.acknowledged(frame("wspulse.ack", 1))
    session.acknowledgement()
    assert not session.acknowledged(frame("wspulse.ack", 1))


@pytest.mark.parametrize("payload", [2, -1, "1", 1.0, 1.5, True, None, [1], {}, 2**63, 10**30, "x" * 1000])
def test_acknowledgement_of_what_was_not_sent_is_not_believed(payload: Any) -> None:
    session = opened()
    sent(session, "a")
    with pytest.raises(BadPeerError, match=r"^bad acknowledgement$"):
        session.acknowledged(frame("wspulse.ack", payload))


def test_acknowledgement_that_falls_is_not_believed() -> None:
    session = opened()
    sent(session, "a", "b")
    session.acknowledged(frame("wspulse.ack", 2))
    with pytest.raises(BadPeerError):
        session.acknowledged(frame("wspulse.ack", 1))


@pytest.mark.parametrize("payload", [-1, "1", None, True, 2**60])
def test_count_of_lost_frames_that_is_none_is_not_believed(payload: Any) -> None:
    with pytest.raises(BadPeerError):
        opened().skip(frame("wspulse.lost", payload))


def test_resume_that_knows_more_than_was_sent_is_not_believed() -> None:
    session = opened()
    sent(session, "a")
    session.offers()
    with pytest.raises(BadPeerError):
        session.open_exact(start(recovered=True, received=2))


@pytest.mark.parametrize(
    "fields",
    [
        {"token": ""},
        {"token": "two words"},
        {"token": "a,b"},
        {"token": "line\nbreak"},
        {"token": 5},
        {"token": "x" * 513},
        {"ping": 0},
        {"ping": -1},
        {"ping": 1e9},
        {"ping": "10"},
        {"ack": [0, 1]},
        {"ack": [1]},
        {"ack": 64},
        {"received": -1},
        {"received": 2**60},
        {"lost": -1},
        {"lost": 1.5},
        {"recovered": 1},
        {"recovered": True},
        {"id": None},
    ],
    ids=str,
)
def test_first_frame_that_cannot_be_is_none(fields: dict[str, Any]) -> None:
    session = fresh()
    with pytest.raises(NoSessionError):
        session.open_exact(start(**fields))
    assert session.offers() == ["wspulse.1"]


def test_frame_of_another_event_is_no_first_frame() -> None:
    with pytest.raises(NoSessionError, match=r"the first frame is 'a', not the one that begins a session"):
        fresh().open_exact(frame("a", START))


def test_recovered_session_of_another_token_is_none() -> None:
    session = opened()
    session.offers()
    with pytest.raises(NoSessionError):
        session.open_exact(start(recovered=True, token="u"))


def test_first_frame_may_say_more_than_this_version_knows() -> None:
    assert opened(later={"more": 1}).id == "c"
