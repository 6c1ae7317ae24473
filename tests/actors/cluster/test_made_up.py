"""Ids that a host has made up: they name it, and have no entry in the directory before their session leaves it."""

from __future__ import annotations

from tests.support.cluster.client import Client
from tests.support.cluster.stage import cluster_stage
from wspulse.actors.mesh.placement import Placement, tag_in
from wspulse.actors.values.errors import ConnectionNotFoundError


def test_made_up_id_has_the_tag_of_its_host_and_is_of_its_shard() -> None:
    placement = Placement(4)
    assert tag_in(placement.new_id(2)) is None
    placement.tag = "0123456789ab"
    drawn = {placement.new_id(2) for _ in range(100)}
    assert len(drawn) == 100
    assert {(tag_in(each), placement.shard_of(each), len(each)) for each in drawn} == {("0123456789ab", 2, 36)}


def test_ids_of_applications_have_no_tag() -> None:
    for connection_id in ("", "ada", "0" * 36, "01234567-89ab-4def-8000-000000000000", "01234567-89ab-8def"):
        assert tag_in(connection_id) is None


def test_session_of_a_made_up_id_costs_the_directory_nothing() -> None:
    with cluster_stage() as stage:
        client = stage.open("", "A", named=False, is_exact=True)
        stage.start(stage.kick("A", client.current_id))
        stage.run()
        assert client.closed == (1000, "kicked")
        assert stage.directory.asked == 0


def test_session_of_a_made_up_id_is_found_from_elsewhere() -> None:
    with cluster_stage("ABC") as stage:
        client = stage.open("", "A", named=False, is_exact=True)
        assert stage.result(stage.send("B", client.current_id, 1)) is None
        assert client.payloads("direct") == [1]
        assert stage.result(stage.kick("C", client.current_id)) is None
        assert isinstance(stage.result(stage.send("B", client.current_id, 2)), ConnectionNotFoundError)
        assert isinstance(stage.result(stage.send("A", client.current_id, 3)), ConnectionNotFoundError)
        assert stage.directory.writes == 0
        # Whether those that nobody has any more have gone on elsewhere.
        assert stage.directory.asked == 2


def test_session_of_a_made_up_id_gets_its_entry_when_it_leaves_its_host() -> None:
    with cluster_stage("ABC") as stage:
        client = stage.open("", "A", named=False, is_exact=True)
        first = client.current_id
        for name in "BCA":
            client.dial(stage[name])
            stage.run()
            assert client.current_id == first
            assert stage.directory.entries[first].host == name
            assert stage.where(first) == [name]
            assert stage.result(stage.send("B", first, name)) is None
        assert client.recovered == [False, True, True, True]
        assert client.payloads("direct") == ["B", "C", "A"]
        stage.start(stage.kick("C", first))
        stage.run()
        assert stage.directory.entries == {}


def test_application_that_names_a_made_up_id_finds_its_session_on_the_host_that_made_it_up() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        client = stage.open("", "A", named=False)
        line = client.line
        assert line is not None
        connection_id = next(iter(stage["A"].shard.sessions))
        named = Client(connection_id)
        named.dial(stage["B"])
        stage.run()
        assert line.closed == (1000, "replaced")
        assert stage.where(connection_id) == ["B"]
        assert stage.of(connection_id, "connect") == [("A", "connect")]


def test_application_that_names_a_made_up_id_of_nobody_gets_it() -> None:
    with cluster_stage() as stage:
        stage.open("", "A", named=False)
        connection_id = next(iter(stage["A"].shard.sessions))
        stage.start(stage.kick("A", connection_id))
        stage.run()
        for name in "BA":
            named = Client(connection_id)
            named.dial(stage[name])
            stage.run()
            assert named.status == 101
            assert stage.directory.entries[connection_id].host == name


def test_session_of_a_made_up_id_has_an_entry_once_the_lease_was_lost() -> None:
    with cluster_stage() as stage:
        stage.open("", "A", named=False)
        connection_id = next(iter(stage["A"].shard.sessions))
        stage.network.alive.discard("A")
        stage.network.alive.add("A")
        stage.start(stage["A"].cluster.claim_anew())
        stage.run()
        assert stage.directory.entries[connection_id].host == "A"


def test_newcomer_and_its_host_claim_a_made_up_id_at_the_same_time() -> None:
    with cluster_stage(delays_s=(0.1, 0.1)) as stage:
        stage.open("", "A", named=False)
        connection_id = next(iter(stage["A"].shard.sessions))
        gate = stage.gate("disconnect")
        stage.start(stage.kick("A", connection_id))
        stage.run()
        Client(connection_id).dial(stage["A"])
        stage.run(0.05)
        # The claim is under way when the lease is over, and held again.
        stage.network.alive.discard("A")
        stage.network.alive.add("A")
        stage.has_lost_leases = True
        assert stage.result(stage["A"].cluster.claim_anew()) is None
        gate.set()
        stage.run(5)
        assert stage.directory.entries.keys() <= {connection_id}
        again = Client(connection_id)
        again.dial(stage["A"])
        stage.run(5)
        assert again.status == 101


def test_owner_of_a_made_up_id_that_hears_nothing_does_not_take_back_what_has_ended_elsewhere() -> None:
    with cluster_stage() as stage:
        client = stage.open("", "A", named=False, is_exact=True)
        connection_id = client.current_id
        stage["B"].gateway.drops = lambda message: type(message).__name__ == "YieldOver"
        client.dial(stage["B"])
        stage.run(0.5)
        assert stage.where(connection_id) == ["B"]
        stage.start(stage.kick("B", connection_id))
        stage.run(5)
        assert stage.where(connection_id) == []
        assert stage.of(connection_id, "disconnect") == [("B", "disconnect")]


def test_entry_of_a_made_up_id_whose_answer_was_lost_is_given_back_with_its_session() -> None:
    with cluster_stage() as stage:
        client = stage.open("", "A", named=False, is_exact=True)
        connection_id = client.current_id
        # B asks the directory and then A, which claims the id before it yields the session.
        client.dial(stage["B"])
        stage.until(lambda: stage.directory.asked == 2)
        stage.directory.loses_answers = 1
        stage.run(0.05)
        assert stage.directory.entries[connection_id].host == "A"
        stage.start(stage.kick("A", connection_id))
        stage.run(5)
        assert connection_id not in stage.directory.entries
