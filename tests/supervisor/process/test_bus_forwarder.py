"""The middle of the bus, with real sockets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import zmq

from wspulse.supervisor.process.bus_forwarder import BusForwarder


def test_messages_of_all_senders_reach_all_subscribers_in_one_order(tmp_path: Path) -> None:
    forwarder = BusForwarder(str(tmp_path / "push.sock"), str(tmp_path / "publish.sock"))
    context = zmq.Context()
    try:
        subscribers = [context.socket(zmq.SUB) for _ in range(2)]
        senders = [context.socket(zmq.PUSH) for _ in range(2)]
        for sender in senders:
            sender.connect(forwarder.push_endpoint)
        for subscriber in subscribers:
            subscriber.rcvtimeo = 50
            subscriber.subscribe(b"")
            subscriber.connect(forwarder.subscribe_endpoint)
            deadline = time.monotonic() + 5
            while True:  # a subscription takes effect in its own time
                senders[0].send(b"probe")
                try:
                    subscriber.recv()
                    break
                except zmq.Again:
                    assert time.monotonic() < deadline
        for number in range(200):
            senders[number % 2].send_multipart([b"room", b"%d" % number])
        received = []
        for subscriber in subscribers:
            subscriber.rcvtimeo = 5000
            messages: list[list[bytes]] = []
            while len(messages) < 200:
                parts = subscriber.recv_multipart()
                if parts != [b"probe"]:
                    messages.append(parts)
            received.append(messages)
        assert received[0] == received[1]
        assert sorted(int(parts[1]) for parts in received[0]) == list(range(200))
    finally:
        context.destroy(linger=0)
        forwarder.stop()


def test_stop_ends_its_thread_with_and_without_traffic(tmp_path: Path) -> None:
    for number in range(5):
        forwarder = BusForwarder(str(tmp_path / f"push{number}.sock"), str(tmp_path / f"publish{number}.sock"))
        forwarder.stop()
        assert not forwarder._thread.is_alive()


def test_path_that_cannot_be_bound_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(zmq.ZMQError):
        BusForwarder(str(tmp_path / "push.sock"), str(tmp_path / "missing" / "publish.sock"))
