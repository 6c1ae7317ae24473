"""The sockets of a process that asks: kept for later calls, not kept after a failure, none once it is closed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from wspulse.supervisor.client import dealer_pool
from wspulse.supervisor.client.dealer_pool import DealerPool
from wspulse.supervisor.protocol.address import Address


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[DealerPool]:
    pool = DealerPool(Address(f"ipc://{tmp_path}/nobody"))
    yield pool
    pool.close()


def test_socket_is_kept_for_the_next_call_and_two_calls_have_two(pool: DealerPool) -> None:
    with pool.dealer() as first:
        pass
    with pool.dealer() as again, pool.dealer() as other:
        assert again is first
        assert other is not first


def test_socket_of_a_call_that_failed_is_not_used_again(pool: DealerPool) -> None:
    with pytest.raises(RuntimeError), pool.dealer() as failed:
        raise RuntimeError("planted")
    assert failed.socket.closed
    with pool.dealer() as next_one:
        assert next_one is not failed


def test_no_more_sockets_are_kept_than_are_of_use(pool: DealerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealer_pool, "MOST_IDLE", 1)
    with pool.dealer() as one, pool.dealer() as two:
        pass
    assert [one.socket.closed, two.socket.closed] == [True, False], "the one that was given back first is kept"


def test_closed_pool_gives_none_and_takes_none_back(pool: DealerPool) -> None:
    with pool.dealer() as dealer:
        pass
    pool.close()
    assert dealer.socket.closed
    with pytest.raises(zmq.ContextTerminated), pool.dealer():
        pass
    pool.close()


def test_close_by_a_signal_in_the_middle_of_a_call_ends_it_and_those_of_other_threads(pool: DealerPool) -> None:
    ended: list[str] = []
    begun = threading.Event()

    def wait(name: str) -> None:
        try:
            with pool.dealer() as dealer:
                begun.set()
                dealer.socket.poll(60_000)
        except zmq.ContextTerminated:
            ended.append(name)

    other = threading.Thread(target=wait, args=("other",), daemon=True)
    other.start()
    assert begun.wait(5)
    before = signal.signal(signal.SIGUSR1, lambda *_: pool.close())
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    sender.start()
    try:
        wait("this one")
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    other.join(5)
    assert sorted(ended) == ["other", "this one"]


def test_close_by_a_signal_in_the_middle_of_a_call_does_not_wait_for_it(pool: DealerPool) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: pool.close())
    try:
        with pool.dealer() as dealer:
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
            assert not dealer.socket.closed
        assert dealer.socket.closed
    finally:
        signal.signal(signal.SIGUSR1, before)
