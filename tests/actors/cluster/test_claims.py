"""Newcomers among several hosts: whose an id is, whoever comes first, last, twice or goes away meanwhile."""

from __future__ import annotations

import pytest

from tests.support.cluster.client import Client
from tests.support.cluster.stage import ClusterStage, cluster_stage
from wspulse.actors.values.errors import ConnectionNotFoundError


def test_newcomer_has_its_id_in_the_directory_until_its_session_has_ended() -> None:
    with cluster_stage() as stage:
        client = stage.open("ada", "A")
        entry = stage.directory.entries["ada"]
        assert (entry.host, entry.key) == ("A", stage["A"].shard.sessions["ada"].key)
        stage.start(stage.kick("A", "ada"))
        stage.run()
        assert client.closed == (1000, "kicked")
        assert stage.directory.entries == {}


def test_id_is_given_back_only_when_the_last_callback_has_run() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        gate = stage.gate("disconnect")
        stage.start(stage.kick("A", "ada"))
        stage.run()
        assert stage.where("ada") == []
        assert stage.directory.entries["ada"].host == "A"
        gate.set()
        stage.run()
        assert stage.directory.entries == {}


def test_newcomer_waits_for_its_claim_while_its_room_is_joined() -> None:
    with cluster_stage(delays_s=(0.1, 0.1)) as stage:
        client = Client("ada")
        client.dial(stage["A"])
        stage.run(0.19)
        assert client.status == 0
        stage.run(0.02)
        # Each takes 0.2 s, and neither waits for the other.
        assert client.status == 101


def test_two_newcomers_of_one_id_on_two_hosts_are_one_session_at_any_time() -> None:
    with cluster_stage() as stage:
        first, second = Client("ada"), Client("ada")
        first.dial(stage["A"])
        second.dial(stage["B"])
        stage.run(5)
        assert (first.status, second.status) == (101, 101)
        assert len(stage.where("ada")) == 1
        assert [kind for _, kind in stage.of("ada")] == ["connect", "disconnect", "connect"]


def test_two_newcomers_of_one_id_on_one_host_have_one_claim() -> None:
    with cluster_stage() as stage:
        first, second = Client("ada"), Client("ada")
        first.dial(stage["A"])
        second.dial(stage["A"])
        stage.run()
        assert first.closed == (1000, "duplicate connection id")
        assert second.status == 101
        assert stage.directory.writes == 1


def test_newcomer_that_is_gone_before_its_claim_is_answered_leaves_no_entry() -> None:
    with cluster_stage(delays_s=(0.1, 0.1)) as stage:
        client = Client("ada")
        line = client.dial(stage["A"])
        stage.run(0.05)
        line.cut()
        stage.run()
        assert client.status == 0
        assert stage.of("ada") == []
        assert stage.directory.writes == 2
        assert stage.directory.entries == {}


def test_session_that_ends_at_once_leaves_no_entry() -> None:
    with cluster_stage(resume_window=0) as stage:
        client = Client("ada")
        line = client.dial(stage["A"])
        stage.until(lambda: client.status == 101)
        line.cut()
        stage.run()
        assert stage.of("ada") == [("A", "connect"), ("A", "disconnect")]
        assert stage.directory.entries == {}


def test_newcomer_gets_503_at_its_deadline_where_the_directory_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with cluster_stage() as stage:
        stage.directory.is_away = True
        client = Client("ada")
        client.dial(stage["A"])
        stage.run(9.9)
        assert client.status == 0
        stage.run(0.3)
        assert client.status == 503
        assert [vars(record)["reason"] for record in caplog.records] == [
            "the connection id could not be claimed in time"
        ]
        stage.directory.is_away = False
        stage.run(20)
        assert stage.directory.entries == {}


def test_newcomer_is_let_in_when_the_directory_is_back_in_time() -> None:
    with cluster_stage() as stage:
        stage.directory.is_away = True
        client = Client("ada")
        client.dial(stage["A"])
        stage.run(5)
        stage.directory.is_away = False
        stage.run()
        assert client.status == 101


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_claim_whose_answer_was_lost_is_one_claim(lost: int) -> None:
    with cluster_stage() as stage:
        stage.directory.loses_answers = lost
        client = Client("ada")
        client.dial(stage["A"])
        stage.run()
        assert client.status == 101
        stage.start(stage.kick("B", "ada"))
        stage.run()
        assert client.closed == (1000, "kicked")
        assert stage.directory.entries == {}


def test_claim_whose_answer_was_lost_is_given_back_when_the_newcomer_is_gone() -> None:
    with cluster_stage() as stage:
        stage.directory.loses_answers = 1
        line = Client("ada").dial(stage["A"])
        stage.run(0.0005)
        line.cut()
        stage.run(5)
        assert stage.directory.writes == 2
        assert stage.directory.entries == {}


def test_entry_of_a_worker_that_died_is_taken_over_on_its_host_and_on_another() -> None:
    with cluster_stage() as stage:
        for connection_id in ("ada", "bob"):
            stage.directory.claim(connection_id, "A", (77, 1))
        ada, bob = Client("ada"), Client("bob")
        ada.dial(stage["A"])
        bob.dial(stage["B"])
        stage.run()
        assert (ada.status, bob.status) == (101, 101)
        assert stage.where("ada") == ["A"]
        assert stage.where("bob") == ["B"]


def test_entry_of_a_host_that_died_is_taken_over() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        stage.kill("A")
        client = stage.open("ada", "B")
        assert client.status == 101


def test_newcomer_whose_id_is_on_a_host_that_dies_while_it_is_asked_is_let_in() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        old = stage.open("ada", "A")
        stage.gate("for ever")
        old.say("wait", "for ever")
        client = Client("ada")
        client.dial(stage["B"])
        stage.run()
        assert client.status == 0
        stage.kill("A")
        stage.run()
        assert client.status == 101
        assert stage.of("ada", "connect") == [("A", "connect"), ("B", "connect")]


def test_newcomer_waits_for_the_last_callback_on_another_host_no_longer_than_that_lives() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        stage.gate("disconnect")
        stage.open("ada", "B")
        assert stage.of("ada") == [("A", "connect"), ("A", "disconnect")]
        stage.kill("A")
        stage.run(20)
        assert stage.of("ada")[2:] == [("B", "connect")]


def test_newcomer_on_a_host_that_is_asked_to_yield_while_it_claims_keeps_nobody_waiting() -> None:
    with cluster_stage("ABC", delays_s=(0.01, 0.05)) as stage:
        clients = [Client("ada") for _ in range(6)]
        for number, client in enumerate(clients):
            client.dial(stage["ABC"[number % 3]])
        stage.run(8)
        assert {client.status for client in clients} == {101}
        assert len(stage.where("ada")) == 1
        assert [kind for _, kind in stage.of("ada")] == ["connect", *["disconnect", "connect"] * 5]


def test_host_without_a_lease_lets_nobody_in() -> None:
    with cluster_stage() as stage:
        stage.network.alive.discard("A")
        client = Client("ada")
        client.dial(stage["A"])
        assert client.status == 503
        stage.network.alive.add("A")


def test_newcomer_that_waits_when_the_lease_ends_gets_503() -> None:
    with cluster_stage() as stage:
        stage.directory.is_away = True
        client = Client("ada")
        client.dial(stage["A"])
        stage.run(0.5)
        stage.network.alive.discard("A")
        stage.run(0.5)
        assert client.status == 503
        stage.directory.is_away = False
        stage.network.alive.add("A")


def _lost_and_regained(stage: ClusterStage) -> None:
    """A's lease is over while B takes the id of one of its sessions."""
    stage.has_lost_leases = True
    stage.unsure.add("A")
    stage.network.alive.discard("A")
    stage.open("ada", "B")
    stage.network.alive.add("A")
    stage.start(stage["A"].cluster.claim_anew())
    stage.run(0)


def test_sessions_whose_ids_are_anothers_end_as_duplicates_when_the_lease_is_back() -> None:
    with cluster_stage() as stage:
        lost, kept = stage.open("ada", "A"), stage.open("bob", "A")
        _lost_and_regained(stage)
        newcomer = Client("eve")
        newcomer.dial(stage["A"])
        assert newcomer.status == 503, "it is not known yet which ids are whose"
        stage.run()
        assert lost.closed == (1000, "duplicate connection id")
        assert kept.closed is None
        stage.unsure.clear()
        assert stage.where("ada") == ["B"]
        assert stage.where("bob") == ["A"]
        assert stage.open("eve", "A").status == 101
        error = stage.given("ada", "disconnect")
        assert str(error) == "wspulse: kicked: duplicate connection id: ada"


def test_newcomer_waits_for_the_callbacks_of_both_hosts_where_the_id_went_away_and_came_back() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        own = stage.gate("disconnect")
        _lost_and_regained(stage)
        stage.run()
        assert stage.of("ada") == [("A", "connect"), ("B", "connect"), ("A", "disconnect")]
        theirs = stage.gate("disconnect")
        stage.open("ada", "A")
        theirs.set()
        stage.run(5)
        assert stage.of("ada")[3:] == [("B", "disconnect")]
        own.set()
        stage.run(5)
        assert stage.of("ada")[4:] == [("A", "connect")]
        stage.unsure.clear()


def test_claim_that_is_answered_when_the_lease_was_over_meanwhile_does_not_count() -> None:
    with cluster_stage(delays_s=(0.2, 0.2)) as stage:
        stage.has_lost_leases = True
        client = Client("ada")
        client.dial(stage["A"])
        stage.run(0.25)
        assert stage.directory.entries["ada"].host == "A"
        # Its answer is on its way when another host finds the entry of one that is not alive.
        stage.network.alive.discard("A")
        stage.directory.claim("ada", "B", (1002, 9))
        stage.network.alive.add("A")
        stage.start(stage["A"].cluster.claim_anew())
        stage.run(0.3)
        assert client.status == 503 or stage.where("ada") == []
        stage.run(5)
        assert stage.directory.entries.get("ada", ("A",))[0] == "A"


def test_send_to_an_id_that_nobody_has_says_so_at_once() -> None:
    with cluster_stage() as stage:
        error = stage.result(stage.send("A", "nobody", 1))
        assert isinstance(error, ConnectionNotFoundError)


def test_entry_that_was_in_doubt_is_not_given_back_by_the_process_that_its_session_has_left() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        shard, ids = stage["A"].shard, stage["A"].cluster._ids
        entry = stage.directory.entries["ada"]
        ids.doubt("ada", entry.key)
        # It moves to another process of the host, and this one is asked about the id once more.
        session = shard.sessions.pop("ada")
        ids.lose("ada")
        ids.look_at("ada")
        stage.run()
        assert stage.directory.entries["ada"] == entry
        shard.sessions["ada"] = session
        ids.hold("ada", entry.revision)
