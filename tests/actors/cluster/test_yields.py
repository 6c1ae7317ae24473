"""A second connection of an id on another host: what its session's host decides, and what becomes of the session."""

from __future__ import annotations

import pytest

from tests.support.cluster.client import Client
from tests.support.cluster.stage import ClusterStage, cluster_stage
from wspulse.actors.mesh.placing.yields import YieldOver, YieldSession
from wspulse.actors.values.errors import ShardUnavailableError


def come_back(stage: ClusterStage, client: Client, name: str) -> Client:
    client.dial(stage[name])
    stage.run()
    assert client.status == 101
    return client


def test_duplicate_on_another_host_kicks_the_old_one_and_its_on_connect_waits_for_the_last_callback() -> None:
    with cluster_stage(on_duplicate="kick") as stage:
        old = stage.open("ada", "A")
        gate = stage.gate("disconnect")
        new = stage.open("ada", "B")
        new.say("say", 1)
        # However long the other host's callback takes: it is asked again and again.
        stage.run(25)
        assert old.closed == (1000, "duplicate connection id")
        assert stage.of("ada") == [("A", "connect"), ("A", "disconnect")]
        assert stage.where("ada") == ["B"]
        gate.set()
        stage.run()
        assert stage.of("ada")[2:] == [("B", "connect"), ("B", "say")]
        assert str(stage.given("ada", "disconnect")) == "wspulse: kicked: duplicate connection id: ada"


def test_callbacks_of_newcomers_on_three_hosts_follow_each_other_while_each_waits_for_the_one_before() -> None:
    with cluster_stage("ABC", on_duplicate="kick") as stage:
        stage.open("ada", "A")
        gate = stage.gate("disconnect")
        for name in "BCAB":
            stage.open("ada", name)
        assert stage.of("ada") == [("A", "connect"), ("A", "disconnect")]
        assert stage.where("ada") == ["B"]
        del stage.gates["disconnect"]
        gate.set()
        stage.run()
        assert stage.of("ada")[2:] == [(name, callback) for name in "BCA" for callback in ("connect", "disconnect")] + [
            ("B", "connect")
        ]


def test_id_stays_taken_while_the_last_callback_runs_on_another_host_though_its_newcomer_has_left() -> None:
    with cluster_stage("ABC", resume_window=0) as stage:
        stage.open("ada", "A")
        gate = stage.gate("disconnect")
        second = stage.open("ada", "B")
        assert second.line is not None
        second.line.cut()
        stage.run(20)
        stage.open("ada", "C")
        assert stage.of("ada") == [("A", "connect"), ("A", "disconnect")]
        gate.set()
        stage.run()
        assert [name for name, _ in stage.of("ada")] == ["A", "A", "B", "B", "C"]


def test_duplicate_on_another_host_is_refused_where_the_application_says_so() -> None:
    with cluster_stage(on_duplicate="reject") as stage:
        old, new = stage.open("ada", "A"), Client("ada")
        new.dial(stage["B"])
        stage.run()
        assert new.status == 409
        assert old.closed is None
        assert stage.where("ada") == ["A"]


def test_connected_session_goes_on_where_its_client_is_back() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        old, new = stage.open("ada", "A"), Client("ada")
        new.dial(stage["B"])
        stage.run()
        assert old.closed == (1000, "replaced")
        assert new.status == 101
        assert stage.where("ada") == ["B"]
        assert stage.of("ada") == [
            ("A", "connect"),
            ("A", "drop"),
            ("A", "transfer_out"),
            ("B", "transfer_in"),
            ("B", "restore"),
        ]
        assert stage["A"].calls == [("halted", "ada"), ("departed", "ada")]
        assert stage["B"].calls == [("arrived", "ada")]


@pytest.mark.parametrize("mode", ["kick", "resume", "reject"])
def test_suspended_session_is_resumed_on_another_host_in_every_mode(mode: str) -> None:
    with cluster_stage(on_duplicate=mode) as stage:
        client = stage.open("ada", "A")
        assert client.line is not None
        client.line.cut()
        stage.run()
        key = stage["A"].shard.sessions["ada"].key
        come_back(stage, client, "B")
        assert stage.where("ada") == ["B"]
        assert stage["B"].shard.sessions["ada"].key == key
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect")]


def test_state_of_the_application_and_further_rooms_travel() -> None:
    with cluster_stage() as stage:
        client = stage.open("ada", "A")
        client.say("set", {"role": "queen"})
        client.say("join", "chess")
        stage.run()
        assert client.line is not None
        client.line.cut()
        come_back(stage, client, "B")
        connection = stage["B"].shard.sessions["ada"].connection
        assert connection.state == {"role": "queen"}
        assert connection.rooms == ("lobby", "chess")
        stage.broadcast("A", "check", "chess")
        stage.run()
        assert client.payloads("room") == ["check"]


def test_session_comes_when_its_handler_has_ended_and_what_it_had_taken_before_is_handled() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        gate = stage.gate("first")
        client = stage.open("ada", "A")
        client.say("wait", "first")
        client.say("say", 1)
        client.say("say", 2)
        stage.run()
        new = Client("ada")
        new.dial(stage["B"])
        stage.run()
        assert new.status == 0
        gate.set()
        stage.run()
        assert new.status == 101
        # A callback waits behind the frames: they are handled before it, where it is due.
        assert [each for each in stage.of("ada") if each[1] in ("say", "drop", "restore")] == [
            ("A", "say"),
            ("A", "say"),
            ("A", "drop"),
            ("B", "restore"),
        ]


def test_session_whose_handler_does_not_end_in_time_stays_and_the_newcomer_gets_503() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        gate = stage.gate("for ever")
        client = stage.open("ada", "A")
        client.say("wait", "for ever")
        stage.run()
        new = Client("ada")
        new.dial(stage["B"])
        stage.run(12)
        assert new.status == 503
        assert stage.where("ada") == ["A"]
        gate.set()
        come_back(stage, client, "B")
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect")]


def test_session_that_is_kicked_while_it_comes_to_rest_has_ended_for_the_newcomer() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        gate = stage.gate("first")
        client = stage.open("ada", "A")
        client.say("wait", "first")
        stage.run()
        new = Client("ada")
        new.dial(stage["B"])
        stage.run(0.2)
        stage.start(stage.kick("B", "ada"))
        stage.run(0.2)
        assert new.status == 101
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect")]
        gate.set()
        stage.run()
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect"), ("A", "disconnect"), ("B", "connect")]


def test_taker_whose_newcomer_is_gone_leaves_the_session_where_it_is() -> None:
    with cluster_stage(on_duplicate="resume", delays_s=(0.05, 0.05)) as stage:
        client = stage.open("ada", "A")
        new = Client("ada")
        line = new.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        line.cut()
        stage.run()
        assert stage.where("ada") == ["A"]
        assert stage.of("ada") == [
            ("A", "connect"),
            ("A", "drop"),
            ("A", "transfer_out"),
            ("A", "transfer_in"),
        ]
        assert stage["A"].calls == [("halted", "ada"), ("returned", "ada")]
        come_back(stage, client, "A")


def test_taker_that_says_nothing_has_the_session_if_the_directory_says_so() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        stage["B"].gateway.drops = lambda message: isinstance(message, YieldOver)
        stage.open("ada", "A")
        new = Client("ada")
        new.dial(stage["B"])
        stage.run(0.5)
        assert new.status == 101
        assert stage["A"].calls == [("halted", "ada")]
        stage.run(3)
        assert stage["A"].calls == [("halted", "ada"), ("departed", "ada")]
        assert stage.where("ada") == ["B"]


def test_session_is_taken_back_where_its_taker_dies_before_it_has_it() -> None:
    with cluster_stage(on_duplicate="resume", delays_s=(0.05, 0.05)) as stage:
        client = stage.open("ada", "A")
        Client("ada").dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        stage.kill("B")
        stage.run(5)
        assert stage.where("ada") == ["A"]
        come_back(stage, client, "A")
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect")]


def test_taker_that_is_slow_does_not_have_what_was_taken_back() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        client = stage.open("ada", "A")
        # B gets nothing of its room, so that it does not know that it is as far as A.
        stage["B"].bus.seen = lambda room_id: -1  # type: ignore[method-assign]
        new = Client("ada")
        new.dial(stage["B"])
        stage.run(3)
        assert stage.where("ada") == ["A"]
        stage.run(9)
        assert new.status == 503
        del stage["B"].bus.seen
        stage.run(5)
        come_back(stage, client, "B")
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect")]


def test_session_is_nowhere_twice_while_the_directory_is_away_at_the_commit() -> None:
    with cluster_stage(on_duplicate="resume", delays_s=(0.05, 0.05)) as stage:
        stage.open("ada", "A")
        new = Client("ada")
        new.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        stage.directory.is_away = True
        stage.run(5)
        assert stage.where("ada") == []
        stage.directory.is_away = False
        stage.run(5)
        assert len(stage.where("ada")) == 1


def test_local_newcomer_waits_until_it_is_known_where_its_session_is() -> None:
    with cluster_stage("ABC", on_duplicate="resume", delays_s=(0.05, 0.05)) as stage:
        stage.open("ada", "A")
        Client("ada").dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        last = Client("ada")
        last.dial(stage["A"])
        stage.run(3)
        assert last.status == 101
        assert stage.where("ada") == ["A"]
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect")]
        assert stage.of("ada", "transfer_in") == [("B", "transfer_in"), ("A", "transfer_in")]


def test_window_of_a_session_stands_while_it_is_between_two_hosts() -> None:
    with cluster_stage(resume_window=4, delays_s=(0.05, 0.05)) as stage:
        client = stage.open("ada", "A")
        assert client.line is not None
        client.line.cut()
        stage.run(2)
        client.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        stage.directory.is_away = True
        stage.run(6)
        stage.directory.is_away = False
        stage.run(0.8)
        assert len(stage.where("ada")) == 1
        assert stage.of("ada", "disconnect") == []
        stage.run(8)


def test_session_that_another_version_cannot_read_ends_as_a_duplicate() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        old = stage.open("ada", "A")
        gateway = stage["B"].gateway
        ask = gateway.ask

        async def other_version(host, connection_id, message, timeout_s):  # type: ignore[no-untyped-def]
            if isinstance(message, YieldSession):
                message.format += 1
            return await ask(host, connection_id, message, timeout_s)

        gateway.ask = other_version  # type: ignore[method-assign]
        new = Client("ada")
        new.dial(stage["B"])
        stage.run()
        assert old.closed == (1000, "duplicate connection id")
        assert new.status == 101
        assert stage.of("ada") == [("A", "connect"), ("A", "disconnect"), ("B", "connect")]


def test_exact_session_of_no_resume_window_follows_its_own_client_while_its_transport_lives() -> None:
    with cluster_stage(resume_window=0) as stage:
        client = stage.open("ada", "A", is_exact=True)
        for number, name in enumerate("BABA"):
            client.say("say", number)
            stage.broadcast("A", number)
            come_back(stage, client, name)
        assert client.recovered == [False, True, True, True, True]
        assert client.payloads("room") == [0, 1, 2, 3]
        assert [given for _, kind, _, given in stage.log if kind == "say"] == [0, 1, 2, 3]
        assert {kind for _, kind in stage.of("ada")} == {"connect", "say", "transfer_out", "transfer_in"}
        assert client.line is not None
        client.line.cut()
        stage.run()
        assert stage.of("ada")[-1] == ("A", "disconnect")
        come_back(stage, client, "B")
        assert not client.recovered[-1]


def test_exact_session_of_no_resume_window_is_there_when_its_client_comes_again_after_a_taker_that_was_lost() -> None:
    with cluster_stage("ABC", resume_window=0) as stage:
        client = stage.open("ada", "A", is_exact=True)
        stage["B"].gateway.is_cut_off.add("A")
        stage["A"].gateway.drops = lambda message: isinstance(message, YieldOver)
        line = client.dial(stage["C"])
        stage.until(lambda: not stage.where("ada"))
        line.cut()
        stage.run(4)
        come_back(stage, client, "A")
        assert client.recovered == [False, True]
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect")]


def test_exact_session_of_no_resume_window_whose_client_does_not_come_again_has_lost_its_transport() -> None:
    with cluster_stage(resume_window=0) as stage:
        client = stage.open("ada", "A", is_exact=True)
        line = client.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        line.cut()
        stage.run(15)
        assert stage.where("ada") == []
        assert stage.of("ada", "connect", "disconnect") == [("A", "connect"), ("A", "disconnect")]
        assert type(stage.given("ada", "disconnect")).__name__ == "ConnectionLostError"


def test_session_of_no_resume_window_ends_where_a_plain_client_is_back_elsewhere() -> None:
    with cluster_stage(resume_window=0) as stage:
        stage.open("ada", "A")
        stage.open("ada", "B")
        assert stage.of("ada") == [("A", "connect"), ("A", "disconnect"), ("B", "connect")]


def test_host_without_a_lease_yields_nothing() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        stage.network.alive.discard("A")
        message = YieldSession("ada", "B", 1.0, 0, "")
        error = stage.result(stage["A"].entry.ask("ada", message))
        assert isinstance(error, ShardUnavailableError)
        stage.network.alive.add("A")
        assert stage.where("ada") == ["A"]


def test_yield_that_is_asked_of_an_id_of_nobody_is_free() -> None:
    with cluster_stage() as stage:
        result = stage.result(stage["A"].entry.ask("nobody", YieldSession("nobody", "B", 1.0, 0, "")))
        assert result.outcome == "free"
