"""Answers of the directory that come when the host's lease was over meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster.stage import ClusterStage, cluster_stage


@contextmanager
def slow_hosts() -> Iterator[ClusterStage]:
    with cluster_stage("ABC", delays_s=(0.1, 0.1), on_duplicate="resume") as stage:
        stage.has_lost_leases = True
        yield stage


def lose_to_another(stage: ClusterStage, name: str) -> None:
    """The entry is made this host's, and it has to ask again; on the way back of that answer its lease is over, another host
    takes the id, and the lease is held again."""
    directory = stage.directory
    before = directory.entries["ada"].revision
    directory.loses_answers = 1
    stage.until(lambda: directory.entries["ada"].revision > before)
    assert directory.entries["ada"].host == name
    asked = directory.asked
    stage.until(lambda: directory.asked > asked)
    stage.run(0.12)
    stage.network.alive.discard(name)
    directory.entries["ada"] = directory.entries["ada"]._replace(host="C", key=(9, 9), revision=1000)
    stage.network.alive.add(name)
    stage.start(stage[name].cluster.claim_anew())
    stage.run(5)
    assert directory.entries["ada"].host == "C"
    del directory.entries["ada"]


def test_session_that_comes_from_another_host_is_not_here_where_the_id_was_lost_before_the_answer_came() -> None:
    with slow_hosts() as stage:
        client = stage.open("ada", "A")
        stage["B"].gateway.is_cut_off.add("C")
        client.dial(stage["B"])
        stage.until(lambda: stage.where("ada") == [])
        lose_to_another(stage, "B")
        assert stage.where("ada") == []


def test_session_that_was_swapped_back_does_not_go_on_where_the_id_was_lost_before_the_answer_came() -> None:
    with slow_hosts() as stage:
        client = stage.open("ada", "A")
        client.dial(stage["B"])
        stage.until(lambda: stage.where("ada") == [])
        stage.kill("B")
        lose_to_another(stage, "A")
        assert stage.where("ada") == []
