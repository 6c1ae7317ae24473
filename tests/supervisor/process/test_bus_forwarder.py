"""The middle of the bus, with real sockets."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from tests.support.processes.server_process import wait_until
from wspulse.supervisor.errors import StartError
from wspulse.supervisor.process.bus_forwarder import BusForwarder

Socket = zmq.Socket[bytes]


class Ends:
    """A forwarder, its senders and its subscribers."""

    def __init__(self, folder: Path, senders: int, subscribers: int, *, receive_most: int = 0) -> None:
        self.forwarder = BusForwarder(str(folder / "push"), str(folder / "publish"))
        self.context: zmq.Context[Socket] = zmq.Context()
        self.senders = [self.context.socket(zmq.PUSH) for _ in range(senders)]
        self.subscribers = [self.context.socket(zmq.SUB) for _ in range(subscribers)]
        for sender in self.senders:
            sender.connect(self.forwarder.push_endpoint)
        for subscriber in self.subscribers:
            subscriber.setsockopt(zmq.RCVHWM, receive_most)
            subscriber.subscribe(b"")
            subscriber.connect(self.forwarder.subscribe_endpoint)
            self._probe(subscriber)

    def _probe(self, subscriber: Socket) -> None:
        """A subscription takes effect in its own time."""
        deadline = time.monotonic() + 5
        self.senders[0].send(b"probe")
        while not subscriber.poll(20):
            assert time.monotonic() < deadline
            self.senders[0].send(b"probe")

    def received(self, subscriber: Socket, count: int) -> list[list[bytes]]:
        messages: list[list[bytes]] = []
        while len(messages) < count:
            assert subscriber.poll(5000), f"only {len(messages)} messages came"
            parts = subscriber.recv_multipart()
            if parts != [b"probe"]:
                messages.append(parts)
        return messages


@contextmanager
def ends(folder: Path, senders: int = 1, subscribers: int = 1, *, receive_most: int = 0) -> Iterator[Ends]:
    made = Ends(folder, senders, subscribers, receive_most=receive_most)
    try:
        yield made
    finally:
        made.context.destroy(linger=0)
        made.forwarder.stop()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "wspulse bus"]


def test_messages_of_all_senders_reach_all_subscribers_in_one_order(tmp_path: Path) -> None:
    with ends(tmp_path, 2, 2) as made:
        for number in range(200):
            made.senders[number % 2].send_multipart([b"room", b"%d" % number])
        one, two = (made.received(subscriber, 200) for subscriber in made.subscribers)
        assert one == two
        assert sorted(int(parts[1]) for parts in one) == list(range(200))


def test_nothing_is_dropped_for_a_subscriber_that_does_not_read(tmp_path: Path) -> None:
    """ZeroMQ's own limit, 1,000 messages, would drop the rest silently."""
    with ends(tmp_path, 1, 2, receive_most=1) as made:
        for number in range(20_000):
            made.senders[0].send(b"%d" % number)
        swift, late = made.subscribers
        numbers = [[b"%d" % number] for number in range(20_000)]
        assert made.received(swift, 20_000) == numbers, "the others have theirs meanwhile"
        assert made.received(late, 20_000) == numbers


def test_stop_ends_its_thread_with_and_without_traffic(tmp_path: Path) -> None:
    forwarder = BusForwarder(str(tmp_path / "push"), str(tmp_path / "publish"))
    assert threads() == ["wspulse bus"]
    forwarder.stop()
    assert threads() == []
    with ends(tmp_path) as made:  # where the files of the first are still there
        for number in range(5000):
            made.senders[0].send(b"%d" % number)
        made.forwarder.stop()
        assert threads() == []


@pytest.mark.parametrize("missing", ["push", "publish"])
def test_path_that_cannot_be_bound_is_an_error_and_leaves_nothing(missing: str, tmp_path: Path) -> None:
    paths = {name: str(tmp_path / name) for name in ("push", "publish")} | {missing: str(tmp_path / "none" / missing)}
    with pytest.raises(StartError, match=r"the bus cannot be opened at .*: No such file or directory"):
        BusForwarder(paths["push"], paths["publish"])
    assert threads() == []


def test_sockets_whose_files_are_removed_are_bound_again_and_no_message_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with ends(folder, 2, 2) as made:
        early, late = made.subscribers
        for number in range(100):
            made.senders[0].send(b"%d" % number)
            if number % 10 == 5:
                shutil.rmtree(folder)
                folder.mkdir()
                made.forwarder.rebind()
                wait_until(lambda: len(list(folder.iterdir())) == 2, 5, "the files are there again")
        numbers = [[b"%d" % number] for number in range(100)]
        assert made.received(early, 100) == numbers
        assert made.received(late, 100) == numbers
        sender, subscriber = made.context.socket(zmq.PUSH), made.context.socket(zmq.SUB)
        sender.connect(made.forwarder.push_endpoint)
        subscriber.subscribe(b"")
        subscriber.connect(made.forwarder.subscribe_endpoint)
        made.senders.insert(0, sender)
        made._probe(subscriber)
        sender.send(b"last")
        for each in (early, late, subscriber):
            assert made.received(each, 1) == [[b"last"]]


def test_sockets_that_cannot_be_bound_again_are_when_they_can(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with ends(folder) as made:
        shutil.rmtree(folder)
        made.forwarder.rebind()
        made.senders[0].send(b"1")
        assert made.received(made.subscribers[0], 1) == [[b"1"]]
        assert threads() == ["wspulse bus"]
        folder.mkdir()
        made.forwarder.rebind()
        wait_until(lambda: len(list(folder.iterdir())) == 2, 5, "the files are there again")


def test_library_that_takes_no_orders_forwards_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_sockets: object) -> int:
        raise zmq.ZMQError(zmq.ENOTSUP)

    monkeypatch.setattr(zmq, "proxy_steerable", refuse)
    with ends(tmp_path) as made:
        made.senders[0].send(b"1")
        assert made.received(made.subscribers[0], 1) == [[b"1"]]
        made.forwarder.rebind()
        made.forwarder.stop()
        assert threads() == []


def test_forwarder_that_fails_goes_on_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wspulse.supervisor.process.bus_forwarder.AGAIN_S", 0.01)
    proxy, failures = zmq.proxy_steerable, [zmq.ZMQError(errno.ENOMEM), zmq.ZMQError(errno.EMFILE)]

    def failing(pull: Socket, publish: Socket, capture: None, orders: Socket) -> None:
        if failures:
            raise failures.pop()
        proxy(pull, publish, capture, orders)

    monkeypatch.setattr(zmq, "proxy_steerable", failing)
    with ends(tmp_path) as made:
        made.senders[0].send(b"hello")
        assert made.received(made.subscribers[0], 1) == [[b"hello"]]
        assert [record.getMessage() for record in caplog.records] == ["the bus failed and is restarted"] * 2
