"""The control socket as doc/reference/control.md has it, spoken by programs that know only ZeroMQ and JSON; every effect is seen
by real clients of a server with four workers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest
import zmq
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.control.control_peer import Peer, peer
from tests.support.processes.server_process import ServerProcess, serve_process

CLIENTS = int(os.environ.get("WSPULSE_TEST_CLIENTS", "50"))
"""More where there is time: a thread each."""

ROOMS = 5


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serve_process("--app", "relay", workers=4) as server:
        yield server


@pytest.fixture(scope="module")
def clients(server: ServerProcess) -> Iterator[dict[str, ClientConnection]]:
    with ExitStack() as stack:
        found = {}
        for number in range(CLIENTS):
            url = f"{server.url}?id=user-{number}&room=room-{number % ROOMS}"
            found[f"user-{number}"] = stack.enter_context(connect(url))
        yield found


@pytest.fixture
def program(server: ServerProcess) -> Iterator[Peer]:
    with peer(server.control) as program:
        yield program


def received(client: ClientConnection) -> object:
    return json.loads(client.recv(timeout=10))


def test_ping_tells_version_workers_and_the_event_socket(program: Peer) -> None:
    answer = program.result("ping")
    assert answer["workers"] == 4
    assert answer["events"].startswith("ipc://")
    assert answer["version"]


def test_send_reaches_each_connection_on_every_shard(program: Peer, clients: dict[str, ClientConnection]) -> None:
    for name, client in clients.items():
        assert program.result("send", connection=name, frame={"event": "for", "payload": {"you": name}}) is None
        assert received(client) == {"event": "for", "payload": {"you": name}}


def test_broadcast_reaches_exactly_the_room(program: Peer, clients: dict[str, ClientConnection]) -> None:
    for room in range(ROOMS):
        program.result("broadcast", room=f"room-{room}", frame={"event": "news", "payload": room, "id": "7"})
    for number, client in enumerate(clients.values()):
        assert received(client) == {"event": "news", "payload": number % ROOMS, "id": "7"}


def test_pipelined_broadcasts_keep_their_order(program: Peer, clients: dict[str, ClientConnection]) -> None:
    numbers = [program.send("broadcast", room="room-1", frame={"payload": number}) for number in range(100)]
    assert sorted(program.receive()["id"] for _ in numbers) == numbers
    for client in list(clients.values())[1::ROOMS]:
        assert [received(client) for _ in numbers] == [{"payload": number} for number in range(100)]


def test_connections_rooms_and_stats_agree(program: Peer, clients: dict[str, ClientConnection]) -> None:
    found = program.result("connections")
    assert {each["id"]: each["room"] for each in found} == {f"user-{n}": f"room-{n % ROOMS}" for n in range(CLIENTS)}
    assert {each["shard"] for each in found} == {0, 1, 2, 3}
    assert all(each["state"] == "connected" and each["queued"] == 0 for each in found)
    assert all(abs(each["connected_at"] - time.time()) < 120 for each in found)
    assert len(program.result("connections", room="room-2")) == CLIENTS // ROOMS
    assert program.result("connections", room="nobody's") == []
    rooms = program.result("rooms")
    assert {each["id"]: each["connections"] for each in rooms} == {f"room-{n}": CLIENTS // ROOMS for n in range(ROOMS)}
    stats = program.result("stats")
    assert stats["totals"]["connections"] == CLIENTS
    assert stats["totals"]["bus_gaps"] == 0
    assert [worker["shard"] for worker in stats["workers"]] == [0, 1, 2, 3]
    for worker in stats["workers"]:
        assert worker["state"] == "ready"
        assert worker["rss_bytes"] > 10_000_000
        assert worker["uptime_s"] > 0
        assert 0 <= worker["loop_lag_s"] <= worker["loop_lag_worst_s"] + 1e-9
        assert worker["connections"] > 0


def test_kick_ends_a_connection(program: Peer, server: ServerProcess) -> None:
    with connect(f"{server.url}?id=victim") as victim:
        assert program.result("kick", connection="victim") is None
        with pytest.raises(ConnectionClosed) as closed:
            victim.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "kicked")
    assert program.error("kick", connection="victim") == "connection_not_found"


def test_event_of_the_protocols_own_is_a_bad_request(program: Peer, server: ServerProcess) -> None:
    frame = {"event": "wspulse.lost", "payload": 3}
    with connect(f"{server.url}?id=exact&room=exact") as client:
        assert program.error("send", connection="exact", frame=frame) == "bad_request"
        assert program.error("broadcast", room="exact", frame=frame) == "bad_request"
        assert program.error("broadcast", room="nobody's", frame=frame) == "bad_request"
        assert program.result("broadcast", room="exact", frame={"event": "wspulse"}) is None
        assert json.loads(client.recv(timeout=10)) == {"event": "wspulse"}


@pytest.mark.usefixtures("clients")
def test_errors_have_the_codes_of_the_table(program: Peer) -> None:
    assert program.error("send", connection="nobody", frame={}) == "connection_not_found"
    assert program.error("send", connection="nobody") == "bad_request"
    assert program.error("send", connection=3, frame={}) == "bad_request"
    assert program.error("send", connection="user-1", frame=[1]) == "bad_request"
    assert program.error("send", connection="user-1", frame={"event": 5}) == "bad_request"
    assert program.error("broadcast", room="room-1") == "bad_request"
    assert program.error("connections", romm="room-1") == "bad_request"
    assert program.error("restart", shard=4) == "bad_request"
    assert program.error("restart", shard="0") == "bad_request"
    assert program.error("sned") == "unknown_op"
    assert program.error("attach") == "unknown_op", "no bridge"


def test_requests_that_cannot_be_read_are_answered_in_their_encoding(program: Peer) -> None:
    for data in (
        b'{"id": 1, "op"',
        b"{}",
        b'{"id": {}, "op": "ping"}',
        b'{"id": 1.5, "op": "ping"}',
        b'{"op": "\xff"}',
    ):
        program.raw(data)
        answer = program.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, "bad_request"), data
    program.raw(b'{"id": 9, "op": 7}')
    answer = program.receive()
    assert (answer["id"], answer["error"]["code"]) == (9, "bad_request")
    for data in (b"", b"\xc1", b"\x93\x01\x02\x03", b"[1]", b"ping", msgspec.msgpack.encode({"op": 1})):
        program.raw(data)
        answer = msgspec.msgpack.decode(program.receive_bytes())
        assert (answer["id"], answer["error"]["code"]) == (None, "bad_request"), data


def test_msgpack_is_answered_in_msgpack_and_reaches_clients_as_the_codec_writes(
    program: Peer, clients: dict[str, ClientConnection]
) -> None:
    frame = {"event": "packed", "payload": {"list": [1, None, "ü"]}}
    program.raw(msgspec.msgpack.encode({"id": "x", "op": "send", "args": {"connection": "user-3", "frame": frame}}))
    assert msgspec.msgpack.decode(program.receive_bytes()) == {"id": "x", "ok": True, "result": None}
    assert received(clients["user-3"]) == frame


def test_req_socket_is_answered(server: ServerProcess) -> None:
    with peer(server.control, zmq.REQ) as program:
        assert program.result("ping")["workers"] == 4
        assert program.error("kick", connection="nobody") == "connection_not_found"


def test_frame_of_64_mib_fits_and_100_mb_cut_only_their_sender(server: ServerProcess, program: Peer) -> None:
    with connect(f"{server.url}?id=large", max_size=None) as client, peer(server.control) as hostile:
        text = "x" * (64 * 1024 * 1024 - 100)
        program.result("send", connection="large", frame={"payload": text})
        assert json.loads(client.recv(timeout=30)) == {"payload": text}
        hostile.raw(b"{" + b" " * 100_000_000)
        assert program.result("ping")["workers"] == 4
        assert not hostile.socket.poll(300), "no answer is possible"


def test_peer_that_does_not_read_its_answers_harms_nobody(server: ServerProcess, program: Peer) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    assert server.control is not None
    silent = context.socket(zmq.DEALER)
    silent.setsockopt(zmq.RCVHWM, 1)
    silent.setsockopt(zmq.LINGER, 0)
    silent.connect(server.control)
    before = program.result("stats")["rss_bytes"]
    try:
        for number in range(5000):
            silent.send(json.dumps({"id": number, "op": "connections"}).encode())
            if number % 500 == 0:
                assert program.result("ping")
        assert program.result("stats")["rss_bytes"] - before < 80_000_000
    finally:
        context.destroy(linger=0)
    assert program.result("ping")
