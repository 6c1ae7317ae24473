"""`Refusal`: a client has time to read why it was refused, and not for ever."""

from __future__ import annotations

from tests.support.sessions.transport_shell import NotedShard, NotedSocket
from wspulse.actors.transport.refusal import Refusal

PAGE = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000


def refused(shard: NotedShard) -> tuple[Refusal, NotedSocket]:
    refusal = Refusal(shard, PAGE, shard.now + 10)
    socket = NotedSocket()
    refusal.take(socket)
    return refusal, socket


def test_answer_that_a_slow_network_has_not_taken_has_until_the_deadline() -> None:
    shard = NotedShard()
    _, socket = refused(shard)
    socket.unsent_bytes = 500
    shard.pass_time(9.9)
    assert "abort" not in socket.calls
    shard.pass_time(1.2)
    assert socket.calls[-1] == "abort"


def test_slow_client_has_a_second_where_the_server_ends() -> None:
    shard = NotedShard()
    _, socket = refused(shard)
    socket.unsent_bytes = 500
    shard.closing = True
    shard.pass_time(1.1)
    assert socket.calls[-1] == "abort"


def test_shard_waits_for_the_end_and_what_still_comes_is_thrown_away() -> None:
    shard = NotedShard()
    refusal, socket = refused(shard)
    assert socket.protocol is refusal
    assert shard.ending == [refusal]
    refusal.data_received(b"GET / HTTP/1.1\r\n\r\n" * 100)
    assert socket.taken() == PAGE
    refusal.connection_lost(None)
    assert shard.ending == []
    shard.pass_time(5)
    assert "abort" not in socket.calls


def test_socket_that_has_ended_is_only_waited_for() -> None:
    shard = NotedShard()
    socket = NotedSocket()
    socket.closing = True
    refusal = Refusal(shard, PAGE, shard.now + 10)
    refusal.take(socket)
    assert socket.taken() == b""
    assert shard.ending == [refusal]
    refusal.connection_lost(None)
    assert shard.ending == []


def test_client_that_has_reset_the_connection_is_waited_for() -> None:
    shard = NotedShard()
    client = NotedSocket()
    client.is_reset = True
    Refusal(shard, PAGE, shard.now + 10).take(client)
    shard.pass_time(1.1)
    assert client.calls[-1] == "abort"


def test_abort_drops_the_socket_once_it_is_there() -> None:
    shard = NotedShard()
    Refusal(shard, PAGE, shard.now + 10).abort()
    refusal, socket = refused(shard)
    refusal.abort()
    assert socket.calls[-1] == "abort"
