"""One client's two connections: what passes, what stops what, and how one's end becomes the other's."""

from __future__ import annotations

import gc
from collections.abc import Callable
from weakref import WeakSet

import pytest

from tests.support.tls.pretended_transport import PretendedTransport
from wspulse.supervisor.tls.farewells import Farewells
from wspulse.supervisor.tls.joint import MAX_EARLY_BYTES, ClientSide, WorkerSide


class Joint:
    """Two sides with pretended transports, which are joined when `connect` is called. It is its own terminator."""

    def __init__(self) -> None:
        self.paused: set[WorkerSide] = set()
        self.arriving: WeakSet[ClientSide] = WeakSet()
        self.clients: set[ClientSide] = set()
        self.farewells = Farewells()
        self.wanted: list[ClientSide] = []
        self.gone: Callable[[], None] = lambda: None
        self.side = ClientSide(self)
        self.client = PretendedTransport(self.side)
        self.side.connection_made(self.client)
        self.worker = PretendedTransport()
        self.worker.protocol = self.worker_side = WorkerSide(self, self.side, b"HEADER ")

    def connect(self, client: ClientSide) -> None:
        self.wanted.append(client)

    def join(self) -> Joint:
        self.worker_side.connection_made(self.worker)
        return self


@pytest.fixture
def joint() -> Joint:
    return Joint()


def test_what_came_before_the_worker_stands_behind_the_header_and_before_what_comes_later(joint: Joint) -> None:
    assert joint.wanted == [joint.side]
    joint.client.read(b"early, ")
    joint.client.read(b"too, ")
    joint.join()
    joint.client.read(b"late")
    joint.worker.read(b"answer")
    assert joint.worker.taken == b"HEADER early, too, late"
    assert joint.client.taken == b"answer"


def test_client_arrives_until_it_has_its_worker_or_is_gone() -> None:
    joined, gone, never = Joint(), Joint(), Joint()
    assert [len(each.arriving) for each in (joined, gone, never)] == [1, 1, 1]
    joined.join()
    gone.client.lose()
    # As the loop does with one that never shakes hands: nothing is called.
    never.clients.clear()
    never.wanted.clear()
    del never.side, never.client, never.worker, never.worker_side
    gc.collect()
    assert [len(each.arriving) for each in (joined, gone, never)] == [0, 0, 0]


def test_client_that_says_too_much_before_its_worker_is_there_is_read_on_when_it_is(joint: Joint) -> None:
    joint.client.read(b"x" * MAX_EARLY_BYTES)
    reads = [joint.client.reads]
    joint.client.read(b"x")
    reads.append(joint.client.reads)
    joint.join()
    assert [*reads, joint.client.reads] == [True, False, True]
    assert joint.worker.taken == b"HEADER " + b"x" * (MAX_EARLY_BYTES + 1)


def test_client_is_not_read_on_while_the_worker_has_not_taken_the_early_bytes(joint: Joint) -> None:
    joint.client.read(b"early")
    joint.worker.takes = False
    joint.join()
    reads = [joint.client.reads]
    joint.worker.take()
    assert [*reads, joint.client.reads] == [False, True]


def test_what_one_side_does_not_take_stops_the_reading_of_the_other(joint: Joint) -> None:
    joint.join()
    for one, other in ((joint.client, joint.worker), (joint.worker, joint.client)):
        other.takes = False
        one.read(b"held")
        assert (one.reads, other.reads) == (False, True)
        other.take()
        assert (one.reads, other.reads) == (True, True)
    assert joint.paused == set()


def test_worker_of_which_nothing_is_read_is_looked_at(joint: Joint) -> None:
    joint.join()
    joint.client.takes = False
    joint.worker.read(b"held")
    assert joint.paused == {joint.worker_side}
    joint.client.lose()
    assert joint.paused == set()


def test_end_of_the_worker_closes_the_client_when_that_has_taken_what_was_written(joint: Joint) -> None:
    joint.join()
    joint.client.takes = False
    joint.worker.read(b"the end of a long answer")
    joint.worker.lose()
    assert joint.client.ends == ["close"]
    assert joint.clients == {joint.side}
    joint.client.take()
    assert joint.client.taken == b"the end of a long answer"
    assert joint.clients == set()


def test_end_of_the_client_closes_the_worker_when_that_has_taken_what_was_written(joint: Joint) -> None:
    joint.join()
    joint.worker.takes = False
    joint.client.read(b"the end of a long request")
    joint.client.lose()
    assert joint.worker.ends == ["close"]
    joint.worker.take()
    assert joint.worker.taken == b"HEADER the end of a long request"


def test_worker_that_connects_when_the_client_is_gone_is_let_go(joint: Joint) -> None:
    joint.client.read(b"early")
    joint.client.lose()
    joint.join()
    assert (joint.worker.ends, joint.worker.taken) == (["abort"], b"")


def test_ended_worker_is_read_to_its_end_as_long_as_the_client_takes_it(joint: Joint) -> None:
    joint.join()
    joint.client.takes = False
    joint.worker.read(b"one, ")
    for second in range(9):
        joint.worker_side.worker_is_gone()
        joint.farewells.look(second)
    joint.client.take()
    joint.client.takes = False
    assert joint.worker.reads
    joint.worker.read(b"two, ")
    joint.worker_side.worker_is_gone()
    joint.farewells.look(11.0)
    joint.client.take()
    joint.worker.read(b"three")
    joint.worker.lose()
    assert joint.client.taken == b"one, two, three"
    assert (joint.client.ends, joint.worker.ends) == (["close"], [])


@pytest.mark.parametrize("end", ["unseen end of the worker", "seen end of the worker", "the client's own end"])
def test_client_that_takes_nothing_more_after_an_end_is_cut_off_after_ten_seconds(joint: Joint, end: str) -> None:
    joint.join()
    joint.client.takes = False
    joint.worker.read(b"held")
    if end == "unseen end of the worker":
        joint.worker_side.worker_is_gone()
    elif end == "seen end of the worker":
        joint.worker.lose()
    else:
        joint.side.eof_received()
    joint.farewells.look(0.0)
    joint.farewells.look(9.9)
    assert "abort" not in joint.client.ends
    joint.farewells.look(10.0)
    assert "abort" in joint.client.ends
    assert joint.worker_side.transport is None
    assert (joint.clients, joint.paused) == (set(), set())
