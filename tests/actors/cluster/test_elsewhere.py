"""Calls to sessions of other hosts, by their ids and by their connections."""

from __future__ import annotations

import asyncio

from tests.support.cluster.client import Client
from tests.support.cluster.stage import cluster_stage
from wspulse.actors.mesh.message import ConnectionRecord, ListConnections
from wspulse.actors.values.errors import ConnectionClosedError, ConnectionNotFoundError, ShardUnavailableError
from wspulse.actors.values.frame import Frame


def test_frames_for_a_session_of_another_host_keep_the_order_of_the_calls() -> None:
    with cluster_stage(delays_s=(0.001, 0.02)) as stage:
        client = stage.open("ada", "A")
        for number in range(30):
            stage.start(stage.send("B", "ada", number))
        stage.run(5)
        assert client.payloads("direct") == list(range(30))


def test_order_is_kept_while_the_session_goes_from_host_to_host() -> None:
    with cluster_stage("ABC", on_duplicate="resume", delays_s=(0.001, 0.01)) as stage:
        client = stage.open("ada", "A", is_exact=True)
        for number in range(100):
            for name in "AC":
                stage.start(stage.send(name, "ada", (name, number)))
            if number % 15 == 7:
                client.dial(stage["BCA"[number // 15 % 3]])
            stage.run(0.02)
        stage.run(10)
        assert all(task.exception() is None for task in stage.tasks)
        for name in "AC":
            got = [number for of, number in client.payloads("direct") if of == name]
            assert got == list(range(100))


def test_session_that_comes_to_the_callers_host_is_found_there() -> None:
    with cluster_stage(on_duplicate="resume", delays_s=(0.05, 0.05)) as stage:
        client = stage.open("ada", "A")
        new = Client("ada")
        new.dial(stage["B"])
        stage.until(lambda: not stage.where("ada"))
        stage.start(stage.send("B", "ada", 1))
        stage.run(3)
        assert new.payloads("direct") == [1]
        assert client.payloads("direct") == []


def test_kick_of_a_session_of_another_host() -> None:
    with cluster_stage() as stage:
        client = stage.open("ada", "A")
        assert stage.result(stage.kick("B", "ada")) is None
        assert client.closed == (1000, "kicked")
        assert isinstance(stage.result(stage.kick("B", "ada")), ConnectionNotFoundError)


def test_call_to_an_unknown_id_asks_the_directory_and_no_host() -> None:
    with cluster_stage() as stage:
        assert isinstance(stage.result(stage.send("B", "nobody", 1)), ConnectionNotFoundError)
        assert stage["B"].gateway.asked == []


def test_entry_that_is_stale_is_looked_up_again_and_then_believed() -> None:
    with cluster_stage() as stage:
        stage.directory.claim("ada", "A", (1001, 77))
        assert isinstance(stage.result(stage.send("B", "ada", 1)), ConnectionNotFoundError)
        assert len(stage["B"].gateway.asked) == 2
        stage.directory.entries.clear()


def test_call_where_the_directory_is_away_says_that_it_is_unavailable() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        stage.directory.is_away = True
        assert isinstance(stage.result(stage.send("B", "ada", 1)), ShardUnavailableError)
        stage.directory.is_away = False


def test_remote_connection_reaches_its_session_wherever_it_goes() -> None:
    with cluster_stage("ABC", on_duplicate="resume") as stage:
        client = stage.open("ada", "A")
        remote = stage.remote("B", "ada")
        for name in ("C", "B", "A", "C"):
            client.dial(stage[name])
            stage.run()
            stage.start(remote.send(Frame("direct", name)))
            stage.run()
        assert client.payloads("direct") == ["C", "B", "A", "C"]
        assert stage.result(remote.join("chess")) is None
        assert stage.rooms_of("ada") == ["lobby", "chess"]
        assert stage.result(remote.leave("chess")) is None
        assert stage.rooms_of("ada") == ["lobby"]
        assert stage.result(remote.close(4001, "enough")) is None
        assert client.closed == (4001, "enough")


def test_remote_connection_never_reaches_a_later_session_of_its_id() -> None:
    with cluster_stage() as stage:
        stage.open("ada", "A")
        remote = stage.remote("B", "ada")
        later = stage.open("ada", "A")
        assert isinstance(stage.result(remote.send(Frame("direct", 1))), ConnectionClosedError)
        assert later.payloads("direct") == []


def test_wait_closed_ends_with_the_session_wherever_it_has_gone() -> None:
    with cluster_stage("ABC", on_duplicate="resume") as stage:
        client = stage.open("ada", "A")
        connection = stage["A"].shard.sessions["ada"].connection
        waits = [
            stage.start(stage.remote("B", "ada").wait_closed()),
            stage.start(stage.remote("A", "ada").wait_closed()),
            stage.start(connection.wait_closed()),
        ]
        for name in "CBC":
            client.dial(stage[name])
            stage.run(2)
        assert not any(wait.done() for wait in waits)
        stage.start(stage.kick("A", "ada"))
        stage.run(2)
        assert all(wait.done() for wait in waits)


def test_call_of_the_client_from_another_host_holds_up_nothing_behind_it() -> None:
    with cluster_stage() as stage:
        client = stage.open("ada", "A")
        remote = stage.remote("B", "ada")
        call = stage.start(remote.call(Frame("ask", 1), timeout_s=5))
        stage.run(0.1)
        stage.start(stage.send("B", "ada", 2))
        stage.run(0.5)
        assert client.payloads("direct") == [2]
        [question] = [frame for _, frame in client.frames if frame.get("event") == "ask"]
        client.answer(question, "yes")
        stage.run(0.5)
        assert call.result().decode() == "yes"


def test_connection_that_the_application_kept_is_one_of_another_host_afterwards() -> None:
    with cluster_stage(on_duplicate="resume") as stage:
        client = stage.open("ada", "A")
        connection = stage["A"].shard.sessions["ada"].connection
        client.dial(stage["B"])
        stage.run()
        assert not connection.closed
        connection.send_nowait(Frame("direct", 1))
        stage.start(connection.send_wait(Frame("direct", 2)))
        stage.run()
        assert client.payloads("direct") == [1, 2]
        assert stage.result(connection.close()) is None
        assert client.closed == (1000, "")


def test_lists_have_the_sessions_of_all_hosts_once() -> None:
    with cluster_stage("ABC", on_duplicate="resume", delays_s=(0.05, 0.05)) as stage:
        for number in range(6):
            stage.open(f"c{number}", "ABC"[number % 3], "lobby" if number < 4 else "chess")
        Client("c0").dial(stage["B"])
        found: list[list[ConnectionRecord]] = []

        async def look() -> None:
            for _ in range(60):
                found.append(await stage["C"].cluster.list_sessions(ListConnections("lobby")))
                await asyncio.sleep(0.01)

        stage.start(look())
        stage.run(3)
        assert stage.where("c0") == ["B"]
        for records in found:
            # C has c2 and c5 itself.
            assert sorted(record.id for record in records) == ["c0", "c1", "c3"]
