"""What clients send to a host whose lease is over, and back: it waits until it is known whose their ids are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.cluster.client import Client
from tests.support.cluster.stage import ClusterStage, cluster_stage


@contextmanager
def lease_over(stage: ClusterStage, name: str = "A") -> Iterator[None]:
    """This host's lease is over meanwhile; then it claims its ids anew."""
    stage.has_lost_leases = True
    stage.unsure.add(name)
    stage.network.alive.discard(name)
    stage.run()
    yield
    stage.run()
    stage.network.alive.add(name)
    stage.start(stage[name].cluster.claim_anew())


def said(stage: ClusterStage, connection_id: str = "ada") -> list[tuple[str, object]]:
    return [(host, given) for host, kind, found, given in stage.log if (kind, found) == ("say", connection_id)]


@pytest.mark.parametrize("is_exact", [False, True])
def test_messages_are_handled_in_order_when_the_ids_are_known_to_be_ours(is_exact: bool) -> None:
    with cluster_stage(delays_s=(0.1, 0.1)) as stage:
        client = stage.open("ada", "A", is_exact=is_exact)
        with lease_over(stage):
            for number in range(5):
                client.say("say", number)
            stage.run(30)
            assert said(stage) == []
        stage.run(0.15)
        assert said(stage) == [], "the directory has yet to answer"
        stage.run()
        assert said(stage) == [("A", number) for number in range(5)]
        client.say("say", 5)
        stage.run()
        assert said(stage)[5:] == [("A", 5)]
        assert client.closed is None


@pytest.mark.parametrize("is_exact", [False, True])
def test_nothing_is_handled_of_a_session_whose_id_is_anothers_by_then(is_exact: bool) -> None:
    with cluster_stage() as stage:
        old = stage.open("ada", "A", is_exact=is_exact)
        gate = stage.gate("first")
        old.say("wait", "first")
        old.say("say", "behind a handler that ran before")
        stage.run()
        with lease_over(stage):
            gate.set()
            old.say("say", "while it is over")
            new = stage.open("ada", "B", is_exact=is_exact)
            new.say("say", "on B")
        stage.run()
        assert old.closed == (1000, "duplicate connection id")
        assert said(stage) == [("B", "on B")]
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect"), ("B", "connect"), ("A", "disconnect")]


def test_message_of_a_client_that_has_gone_meanwhile_is_handled_before_the_end_of_its_session() -> None:
    with cluster_stage(resume_window=0) as stage:
        client = stage.open("ada", "A")
        with lease_over(stage):
            client.say("say", "goodbye")
            stage.run()
            assert client.line is not None
            client.line.cut()
            stage.run()
            assert stage.of("ada") == [("A", "connect")]
        stage.run()
        assert stage.of("ada") == [("A", "connect"), ("A", "say"), ("A", "disconnect")]


def test_message_of_a_client_that_has_gone_to_the_other_host_is_not_handled() -> None:
    with cluster_stage(resume_window=0) as stage:
        client = stage.open("ada", "A")
        with lease_over(stage):
            client.say("say", "too late")
            stage.run()
            assert client.line is not None
            client.line.cut()
            stage.open("ada", "B")
        stage.run()
        assert said(stage) == []
        assert stage.of("ada") == [("A", "connect"), ("B", "connect"), ("A", "disconnect")]


def test_message_waits_on_while_the_lease_is_over_once_more() -> None:
    with cluster_stage(delays_s=(0.1, 0.1)) as stage:
        client = stage.open("ada", "A")
        with lease_over(stage):
            client.say("say", 1)
        with lease_over(stage):
            new = Client("ada")
            new.dial(stage["B"])
            stage.run()
        stage.run()
        assert said(stage) == []
        assert stage.where("ada")[-1] == "B"
        stage.unsure.clear()
