"""What a client gets whose session goes on on another host: what waited for it, what its rooms had between, and what came since;
each once and in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.cluster.client import Client
from tests.support.cluster.stage import ClusterStage, cluster_stage
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placing.yields import KeptFrames


def away(stage: ClusterStage, name: str, *, is_exact: bool = False) -> Client:
    """A client whose line to this host has just ended."""
    client = stage.open("ada", name, is_exact=is_exact)
    assert client.line is not None
    client.line.cut()
    stage.run()
    return client


@pytest.mark.parametrize("is_exact", [False, True])
def test_frames_that_waited_come_first_then_what_the_room_had_between_then_what_came_since(is_exact: bool) -> None:
    with cluster_stage("ABC", delays_s=(0.01, 0.01)) as stage:
        client = away(stage, "A", is_exact=is_exact)
        for number in range(3):
            stage.broadcast("B", number)
            stage.run()
        client.dial(stage["B"])
        for number in range(3, 40):
            stage.broadcast("AC"[number % 2], number)
            stage.run(0.004)
        stage.run()
        assert client.payloads("room") == list(range(40))


def test_host_that_is_ahead_fetches_what_the_session_has_yet_to_get() -> None:
    with cluster_stage() as stage:
        stage.open("bob", "B")
        client = away(stage, "A")
        # What is published reaches A late, and B at once.
        stage["A"].bus.late_s = 0.5
        for number in range(3):
            stage.broadcast("B", number)
        stage.run(0.1)
        client.dial(stage["B"])
        stage.run()
        assert client.payloads("room") == [0, 1, 2]


def test_host_that_is_behind_waits_and_gives_nothing_twice() -> None:
    with cluster_stage() as stage:
        stage.open("bob", "B")
        client = away(stage, "A")
        stage["B"].bus.late_s = 0.5
        for number in range(3):
            stage.broadcast("A", number)
        stage.run(0.1)
        client.dial(stage["B"])
        stage.run(0.2)
        assert client.status == 0
        stage.run()
        assert client.payloads("room") == [0, 1, 2]


def test_frames_that_exclude_the_session_are_not_fetched_for_it() -> None:
    with cluster_stage() as stage:
        stage.open("bob", "B")
        client = away(stage, "A")
        stage["A"].bus.late_s = 0.5
        for number, excluded in enumerate(("ada", "bob", "ada", "eve")):
            stage.broadcast("B", number, excluded=excluded)
        stage.run(0.1)
        client.dial(stage["B"])
        stage.run()
        assert client.payloads("room") == [1, 3]


def test_frames_that_exclude_the_session_are_not_kept_for_it() -> None:
    with cluster_stage(delays_s=(0.05, 0.05)) as stage:
        client = away(stage, "A")
        client.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        for number, excluded in enumerate(("ada", "bob")):
            stage.broadcast("B", number, excluded=excluded)
        stage.run()
        assert client.payloads("room") == [1]


def test_every_room_of_the_session_is_caught_up() -> None:
    with cluster_stage("AB", delays_s=(0.01, 0.01)) as stage:
        client = stage.open("ada", "A")
        client.say("join", "chess")
        stage.run()
        assert client.line is not None
        client.line.cut()
        stage.run()
        stage["A"].bus.late_s = 0.3
        for number in range(10):
            stage.broadcast("B", number)
            stage.broadcast("B", 100 + number, "chess")
        stage.run(0.1)
        client.dial(stage["B"])
        stage.run(0.2)
        for number in range(10, 20):
            stage.broadcast("B", number)
            stage.broadcast("B", 100 + number, "chess")
        stage.run()
        got = client.payloads("room")
        assert [number for number in got if number < 100] == list(range(20))
        assert [number for number in got if number >= 100] == list(range(100, 120))


@pytest.mark.parametrize("named", [True, False])
def test_exact_session_goes_on_exactly_in_both_directions(named: bool) -> None:
    with cluster_stage("ABC") as stage:
        client = stage.open("ada", "A", is_exact=True, named=named)
        said = 0
        for turn in range(9):
            for _ in range(4):
                client.say("say", said)
                stage.broadcast("ABC"[said % 3], said)
                said += 1
            assert client.line is not None
            if turn % 2:
                client.line.cut()
            client.dial(stage["BCA"[turn % 3]])
            stage.run(0.3)
            assert client.status == 101
        stage.run()
        assert client.recovered == [False, *[True] * 9]
        assert client.payloads("room") == stage.published("lobby")
        assert len(stage.published("lobby")) == said
        handled = [given for _, kind, _, given in stage.log if kind == "say"]
        assert handled == list(range(said))
        assert client.lost == 0


def test_wrong_token_has_nothing_of_a_session_on_another_host() -> None:
    with cluster_stage() as stage:
        client = stage.open("ada", "A", is_exact=True)
        thief = Client("ada", is_exact=True)
        thief.token = "x" * 30
        thief.dial(stage["B"])
        stage.run()
        assert client.closed == (1000, "duplicate connection id")
        assert thief.recovered == [False]


def test_nameless_client_with_a_wrong_token_is_a_newcomer_and_disturbs_nobody() -> None:
    with cluster_stage() as stage:
        client = stage.open("ada", "A", is_exact=True, named=False)
        thief = Client("ada", is_exact=True, named=False)
        thief.token = "x" * 22 + client.token[22:]
        thief.dial(stage["B"])
        stage.run()
        assert client.closed is None
        assert thief.recovered == [False]
        assert thief.current_id != client.current_id
        assert stage.where(client.current_id) == ["A"]


def test_nameless_client_whose_session_has_ended_is_a_newcomer() -> None:
    with cluster_stage() as stage:
        client = stage.open("ada", "A", is_exact=True, named=False)
        stage.start(stage.kick("B", client.current_id))
        stage.run()
        client.dial(stage["B"])
        stage.run()
        assert client.status == 101
        assert client.recovered == [False, False]


def test_frames_of_the_sessions_own_connection_go_with_it() -> None:
    with cluster_stage(delays_s=(0.05, 0.05)) as stage:
        client = away(stage, "A")
        connection = stage["A"].shard.sessions["ada"].connection
        stage.send_by(connection, 0)
        client.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        for number in range(1, 4):
            stage.send_by(connection, number)
        stage.until(lambda: stage["A"].calls[-1:] == [("departed", "ada")])
        for number in range(4, 7):
            stage.send_by(connection, number)
        stage.run()
        assert client.payloads("direct") == list(range(7))


def test_frames_of_the_sessions_own_connection_stay_with_it_where_it_is_taken_back() -> None:
    with cluster_stage(delays_s=(0.05, 0.05)) as stage:
        client = away(stage, "A")
        connection = stage["A"].shard.sessions["ada"].connection
        line = client.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        for number in range(3):
            stage.send_by(connection, number)
            stage.broadcast("A", number)
        line.cut()
        stage.run()
        assert stage.where("ada") == ["A"]
        client.dial(stage["A"])
        stage.run()
        assert client.payloads("direct") == [0, 1, 2]
        assert client.payloads("room") == [0, 1, 2]


def test_frames_of_the_sessions_own_connection_follow_it_where_it_has_gone_on() -> None:
    with cluster_stage("ABC", on_duplicate="resume", delays_s=(0.05, 0.05)) as stage:
        client = away(stage, "A")
        connection = stage["A"].shard.sessions["ada"].connection
        gateway = stage["A"].gateway
        ask, is_gone = gateway.ask, asyncio.Event()

        async def late(host: str, connection_id: str | None, message: Message, timeout_s: float | None) -> Any:
            if isinstance(message, KeptFrames):
                await is_gone.wait()
            return await ask(host, connection_id, message, timeout_s)

        gateway.ask = late  # type: ignore[method-assign]
        client.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        for number in range(3):
            stage.send_by(connection, number)
        stage.until(lambda: stage.where("ada") == ["B"])
        client.dial(stage["C"])
        stage.until(lambda: stage.where("ada") == ["C"])
        is_gone.set()
        stage.run(3)
        assert client.payloads("direct") == [0, 1, 2]


def test_session_comes_though_its_host_has_once_answered_in_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster_stage() as stage:
        client = away(stage, "A")
        gateway = stage["B"].gateway
        ask = gateway.ask

        async def other(host: str, connection_id: str | None, message: Message, timeout_s: float | None) -> Any:
            monkeypatch.undo()
            await ask(host, connection_id, message, timeout_s)
            return ["of", {"another": "version"}]

        monkeypatch.setattr(gateway, "ask", other)
        client.dial(stage["B"])
        stage.run(5)
        assert stage.where("ada") == ["B"]
