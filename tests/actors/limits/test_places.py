"""Who may come in, from where, and what becomes of their places."""

from __future__ import annotations

import pytest

from wspulse.actors.limits.address_key import address_key
from wspulse.actors.limits.counts import Counts, words_for
from wspulse.actors.limits.places import Places
from wspulse.actors.values.metrics import Metrics


def seats(count: int, *, most: int = 0, per_address: int = 0) -> list[Places]:
    words = memoryview(bytearray(8 * words_for(count))).cast("Q")
    words[0] = count
    return [
        Places(Counts(words, seat), Metrics(), max_connections=most, max_connections_per_address=per_address)
        for seat in range(count)
    ]


def status(places: Places, holder: object, address: str = "192.0.2.1") -> int:
    """What somebody is answered; 0: nothing."""
    answer = places.admit(holder, (address, 5))
    return 0 if answer is None else answer.status


def test_one_more_than_there_may_be_is_refused_whichever_worker_it_comes_to() -> None:
    one, two = seats(2, most=3)
    assert [status(one, 1), status(two, 2), status(one, 3), status(one, 4), status(two, 4)] == [0, 0, 0, 503, 503]
    two.leave(2)
    assert [status(one, 4), status(two, 5)] == [0, 503]
    assert (one._metrics.limited_connections, two._metrics.limited_connections) == (1, 2)


def test_one_more_from_an_address_is_refused_and_others_come_in() -> None:
    one, two = seats(2, per_address=2)
    assert [status(one, 1), status(two, 2), status(two, 3), status(one, 3)] == [0, 0, 429, 429]
    assert status(one, 4, "192.0.2.2") == 0
    one.leave(1)
    assert [status(two, 5), status(two, 6)] == [0, 429]
    assert two._metrics.limited_connections_per_address == 2


def test_who_is_refused_takes_no_place() -> None:
    (places,) = seats(1, most=1, per_address=1)
    assert [status(places, 1), status(places, 2), status(places, 3, "192.0.2.9")] == [0, 429, 503]
    assert places.held == 1
    places.leave(1)
    assert status(places, 2) == 0


def test_place_is_passed_on_and_given_back_once() -> None:
    (places,) = seats(1, most=1)
    assert status(places, "newcomer") == 0
    places.pass_on("newcomer", "transport")
    places.leave("newcomer")
    assert status(places, "another") == 503
    places.leave("transport")
    places.leave("transport")
    assert [status(places, "another"), status(places, "third")] == [0, 503]


def test_session_that_comes_from_another_process_is_counted_and_not_refused() -> None:
    one, two = seats(2, most=1)
    assert status(one, "session") == 0
    two.take("session", ("192.0.2.1", 5))
    one.leave("session")
    assert [status(one, "another"), status(two, "another")] == [503, 503]


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_addresses_of_one_network_count_as_one(first: str, second: str, are_one: bool) -> None:
    keys = [address_key((address, 1)) for address in (first, second)]
    assert all(0 < key < 1 << 64 for key in keys)
    assert (keys[0] == keys[1]) is are_one


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "unix", ""])
def test_this_machine_and_whatever_is_no_address_are_not_counted_by_address(address: str) -> None:
    assert address_key((address, 1)) == 0
    assert address_key(None) == 0
    (places,) = seats(1, per_address=1)
    assert [status(places, holder, address) for holder in range(5)] == [0] * 5
