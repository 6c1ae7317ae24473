"""The client's socket: when what is given to it reaches a server."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.support.control.pretended_control import PretendedControl, pretended_control
from tests.support.eventually import eventually
from wspulse.supervisor.client.dealer import Dealer
from wspulse.supervisor.protocol.address import Address


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PretendedControl]:
    with pretended_control(tmp_path) as server:
        yield server


async def is_writable(dealer: Dealer) -> None:
    def look() -> bool:
        dealer.went_away()
        return dealer.is_writable

    await eventually(look, "the server is connected")


async def test_socket_is_not_written_to_between_the_end_of_one_connection_and_the_next(
    context: zmq.Context[zmq.Socket[bytes]], server: PretendedControl
) -> None:
    dealer = Dealer(context, Address(server.endpoint))
    try:
        await is_writable(dealer)
        # ZeroMQ's thread tells of an end before the socket knows, which takes what is sent meanwhile and forgets it.
        dealer.socket.disable_monitor()
        dealer.monitor.close(0)
        told: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        told.bind("inproc://told")
        dealer.monitor = context.socket(zmq.PAIR)
        dealer.monitor.connect("inproc://told")
        told.send_multipart([struct.pack("=hi", zmq.EVENT_DISCONNECTED, 0), b""])
        assert dealer.went_away()
        assert dealer.socket.poll(0, zmq.POLLOUT), "the socket would take it"
        writable = [dealer.is_writable]
        told.send_multipart([struct.pack("=hi", zmq.EVENT_HANDSHAKE_SUCCEEDED, 0), b""])
        assert not dealer.went_away()
        writable.append(dealer.is_writable)
        assert writable == [False, True]
        told.close(0)
    finally:
        dealer.close()


async def test_socket_is_written_to_again_when_the_server_is_back(
    context: zmq.Context[zmq.Socket[bytes]], server: PretendedControl
) -> None:
    dealer = Dealer(context, Address(server.endpoint))
    try:
        await is_writable(dealer)
        server.stop()
        await eventually(dealer.went_away, "the end is told")
        assert not dealer.is_writable
        server.start()
        await is_writable(dealer)
        dealer.socket.send(b'{"op":"ping"}', zmq.NOBLOCK)
        assert (await server.takes()).op == "ping"
    finally:
        dealer.close()
