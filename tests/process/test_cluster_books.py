"""What the judge of the cluster's crowd knows: each thing that several hosts could do wrong, on small books."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.support.crowds.cluster.books import Deeds, Findings, Notes, Stay, judged

ONE: list[list[Any]] = [
    [0.0, "process", "one", 11],
    [1.0, "begin", "ada", "A"],
    [2.0, "act", "ada", "A"],
    [2.0, "issued", "tea", "A", 0],
    [2.1, "kept", "tea", "A", 0],
    [3.0, "act", "ada", "A"],
    [3.0, "asked", "bob", "A", 1],
    [3.1, "sent", "bob", "A", 1],
    [5.0, "issued", "tea", "A", 2],
    [5.1, "kept", "tea", "A", 2],
]
TWO: list[list[Any]] = [
    [0.0, "process", "two", 22],
    [1.1, "begin", "bob", "B"],
    [2.0, "begin", "eve", "E"],
    [4.0, "issued", "tea", "B", 0],
    [4.1, "kept", "tea", "B", 0],
    [6.0, "end", "eve", "E"],
]


class Books:
    """Ada is on host one; Bob and Eve are on host two, and Eve leaves."""

    def __init__(self) -> None:
        self.one, self.two = deepcopy(ONE), deepcopy(TWO)
        self.ada = Stay("ada", "tea", "one", 1.2, "A", None, [("A", 0), ("B", 0), ("A", 2)])
        self.bob = Stay("bob", "tea", "two", 1.3, "B", None, [("A", 0), ("B", 0), ("A", 2)], [("A", 1)])
        self.eve = Stay("eve", "tea", "two", 2.2, "E", 5.9, [("B", 0), ("A", 2)])
        self.deeds = Deeds()

    def judged(self) -> Findings:
        return judged([self.ada, self.bob, self.eve], Notes([self.one, self.two]), self.deeds)

    def again(self, token: str = "A2", at: float = 7.0) -> None:
        """Ada begins on the other host."""
        self.two.append([at, "begin", "ada", token])


def test_books_in_which_all_is_whole_are_clean() -> None:
    findings = Books().judged()
    assert findings.stories == []
    assert (findings.kept, findings.heard, findings.sent, findings.sessions, findings.lost) == (3, 8, 1, 3, 0)
    assert findings.longest_broadcast_s == pytest.approx(0.1)


def missing_in_the_middle(books: Books) -> None:
    books.bob.heard = [("A", 0), ("A", 2)]


def missing_at_the_end(books: Books) -> None:
    books.bob.heard.pop()


def missing_for_one_that_left(books: Books) -> None:
    books.eve.heard = [("A", 2)]


def unacknowledged_and_heard_by_others(books: Books) -> None:
    books.one.append([5.5, "issued", "tea", "A", 3])
    books.ada.heard.append(("A", 3))


def doubled(books: Books) -> None:
    books.bob.heard.append(("A", 0))


def told_twice(books: Books) -> None:
    books.bob.told.append(("A", 1))


def told_in_disorder(books: Books) -> None:
    books.bob.told = [("A", 4), ("A", 1)]


def two_orders(books: Books) -> None:
    books.bob.heard = [("B", 0), ("A", 0), ("A", 2)]


def three_orders_that_no_two_show(books: Books) -> None:
    books.one[-2:] = []
    books.two.append([5.0, "issued", "tea", "B", 2])
    x, y, z = ("A", 0), ("B", 0), ("B", 2)
    books.ada.heard, books.bob.heard, books.eve.heard = [x, y], [y, z], [z, x]


def sent_and_not_told(books: Books) -> None:
    books.bob.told = []


def failed(books: Books) -> None:
    books.two.append([9.0, "failed", "say", "B", 1, "ShardUnavailableError"])


def on_two_hosts(books: Books) -> None:
    books.again()


def twice_on_one_host(books: Books) -> None:
    books.one.append([7.0, "begin", "ada", "A2"])


def ends_when_it_has_begun_elsewhere(books: Books) -> None:
    books.again()
    books.one.append([7.1, "end", "ada", "A"])


def begins_elsewhere_before_its_host_is_dead(books: Books) -> None:
    books.deeds.died_at[11] = 7.5
    books.again()


def acts_though_it_is_elsewhere(books: Books) -> None:
    books.deeds.apart["one"] = [(6.5, 9.0)]
    books.again()
    books.one += [[9.5, "act", "ada", "A"], [9.6, "end", "ada", "A"]]


def does_not_end_though_it_is_elsewhere(books: Books) -> None:
    books.deeds.apart["one"] = [(6.5, 9.0)]
    books.again()


def elsewhere_before_its_host_was_apart(books: Books) -> None:
    books.deeds.apart["one"] = [(7.5, 9.0)]
    books.again()
    books.one.append([9.6, "end", "ada", "A"])


def lost_and_told_by_another_host_only(books: Books) -> None:
    missing_at_the_end(books)
    books.deeds.may_lose, books.deeds.told = True, {"one"}


@pytest.mark.parametrize(
    "damage",
    [
        missing_in_the_middle,
        missing_at_the_end,
        missing_for_one_that_left,
        unacknowledged_and_heard_by_others,
        doubled,
        told_twice,
        told_in_disorder,
        two_orders,
        three_orders_that_no_two_show,
        sent_and_not_told,
        failed,
        on_two_hosts,
        twice_on_one_host,
        ends_when_it_has_begun_elsewhere,
        begins_elsewhere_before_its_host_is_dead,
        acts_though_it_is_elsewhere,
        does_not_end_though_it_is_elsewhere,
        elsewhere_before_its_host_was_apart,
        lost_and_told_by_another_host_only,
    ],
)
def test_each_thing_that_is_wrong_is_found(damage: Callable[[Books], None]) -> None:
    books = Books()
    damage(books)
    assert books.judged().stories != []


def before_it_came(books: Books) -> None:
    books.ada.opened_at = 2.05
    books.ada.heard = [("B", 0), ("A", 2)]


def unacknowledged_and_heard_by_nobody(books: Books) -> None:
    books.one.append([5.5, "issued", "tea", "A", 3])


def on_its_way_when_one_left(books: Books) -> None:
    books.eve.heard = [("B", 0)]


def lost_and_told(books: Books) -> None:
    missing_at_the_end(books)
    books.deeds.may_lose, books.deeds.told = True, {"two"}


def failed_when_that_may_be(books: Books) -> None:
    failed(books)
    books.deeds.may_fail = True


def sent_by_id_to_nobody(books: Books) -> None:
    books.two.append([9.0, "failed", "tell", "B", 1, "ConnectionNotFoundError"])


def elsewhere_when_its_process_was_dead(books: Books) -> None:
    books.deeds.died_at[11] = 6.5
    books.again()


def elsewhere_when_it_has_ended(books: Books) -> None:
    books.one.append([6.9, "end", "ada", "A"])
    books.again()


def elsewhere_while_its_host_stood_still(books: Books) -> None:
    books.deeds.apart["one"] = [(6.5, 9.0)]
    books.again()
    books.one.append([9.6, "end", "ada", "A"])


@pytest.mark.parametrize(
    "event",
    [
        before_it_came,
        unacknowledged_and_heard_by_nobody,
        on_its_way_when_one_left,
        lost_and_told,
        failed_when_that_may_be,
        sent_by_id_to_nobody,
        elsewhere_when_its_process_was_dead,
        elsewhere_when_it_has_ended,
        elsewhere_while_its_host_stood_still,
    ],
)
def test_nothing_is_held_against_what_the_contract_gives_up(event: Callable[[Books], None]) -> None:
    books = Books()
    event(books)
    assert books.judged().stories == []
