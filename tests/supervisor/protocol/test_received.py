"""Taking what a pair of sockets has received."""

from __future__ import annotations

import pytest
import zmq

from tests.supervisor.protocol.test_lookout import socket_pair
from wspulse.supervisor.protocol.received import Received


def test_all_messages_that_are_there_are_taken_in_order_with_their_parts() -> None:
    with socket_pair() as (ours, theirs):
        theirs.send_multipart([b"1", b"one"])
        theirs.send(b"2")
        received = Received(ours)
        assert list(received) == [[b"1", b"one"], [b"2"]]
        assert received.is_all
        assert list(Received(ours)) == []


def test_no_more_than_the_given_number_is_taken_and_the_rest_stays() -> None:
    with socket_pair() as (ours, theirs):
        for number in range(3):
            theirs.send(b"%d" % number)
        received = Received(ours, 2)
        assert list(received) == [[b"0"], [b"1"]]
        assert not received.is_all, "there may be more"
        assert list(received) == []
        rest = Received(ours, 2)
        assert list(rest) == [[b"2"]]
        assert rest.is_all


def test_message_is_taken_when_it_is_asked_for_and_not_before() -> None:
    with socket_pair() as (ours, theirs):
        theirs.send(b"1")
        theirs.send(b"2")
        for parts in Received(ours):
            assert parts == [b"1"]
            break
        assert ours.recv(zmq.NOBLOCK) == b"2"


def test_error_that_says_something_else_than_nothing_is_raised() -> None:
    with socket_pair() as (ours, _):
        received = Received(ours)
        ours.close(0)
        with pytest.raises(zmq.ZMQError):
            next(received)
        assert not received.is_all
