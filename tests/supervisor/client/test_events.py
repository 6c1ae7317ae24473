"""The blocking stream of events: how it waits, comes back, and is closed by another thread."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.supervisor.client.event_source import EventSource
from tests.support.processes.server_process import wait_until
from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.client.events import EventStream
from wspulse.supervisor.protocol.address import Address

NOWHERE = Address("ipc:///nowhere")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EventSource]:
    with EventSource(tmp_path) as source:
        yield source


def test_what_is_published_from_the_start_on_is_seen(source: EventSource) -> None:
    with EventStream(source, NOWHERE, ("connect.",), 5) as events:
        numbers = [source.publish("connect.a"), source.publish("connect.b")]
        source.publish("drop.a")
        numbers.append(source.publish("connect.c"))
        found = [next(events) for _ in range(3)]
    assert [event.seq for event in found] == numbers
    assert not any(event.missed for event in found)
    assert list(events) == [], "it is closed"


def test_stream_ends_when_nothing_comes_for_its_timeout(source: EventSource) -> None:
    with EventStream(source, NOWHERE, (), 0.05) as events:
        assert list(events) == []
        source.publish("connect.a")
        assert next(events).room == ""


def test_stream_of_a_server_that_is_away_fails_at_the_start(source: EventSource) -> None:
    source.go()
    with pytest.raises(ControlError):
        EventStream(source, NOWHERE, (), None)


def test_stream_comes_back_to_its_server_and_says_that_events_may_be_missing(source: EventSource) -> None:
    with EventStream(source, NOWHERE, (), 10) as events:
        source.publish("connect.a")
        assert not next(events).missed
        source.go()
        source.comes_back_at = source.calls + 3
        source.published_before_probes = "connect.a"
        assert next(events).missed
        source.published_before_probes = ""
        source.publish("connect.a")
        assert not next(events).missed


def test_calls_that_fail_at_once_are_not_repeated_without_a_pause(source: EventSource) -> None:
    with EventStream(source, NOWHERE, (), 0.5) as events:
        source.go()
        before = source.calls
        assert list(events) == []
        assert 2 <= source.calls - before <= 11, "one each 50 ms, in half a second"


@pytest.mark.race
def test_thread_that_waits_for_an_event_is_woken_by_close_and_its_iteration_ends(source: EventSource) -> None:
    for _ in range(20):
        events = EventStream(source, NOWHERE, (), None)
        found: list[object] = []
        waits = threading.Event()

        def read(events: EventStream = events, found: list[object] = found, waits: threading.Event = waits) -> None:
            for event in events:
                found.append(event)
                waits.set()
            found.append("end")

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        source.publish("connect.a")
        assert waits.wait(5)
        before = monotonic()
        events.close()
        reader.join(5)
        assert found[-1] == "end"
        assert monotonic() - before < 0.9, "without waiting for the next look at the clock"


def test_thread_whose_server_is_away_is_woken_by_close(source: EventSource) -> None:
    events = EventStream(source, NOWHERE, (), None)
    source.go()
    found: list[object] = []
    reader = threading.Thread(target=lambda: found.extend(events), daemon=True)
    before = source.calls
    reader.start()
    wait_until(lambda: source.calls >= before + 2, 5, "it looks for its server")
    events.close()
    reader.join(5)
    assert not reader.is_alive()
    assert found == []


def test_close_by_a_signal_in_the_middle_of_waiting_ends_the_iteration(source: EventSource) -> None:
    events = EventStream(source, NOWHERE, (), 10)
    before = signal.signal(signal.SIGUSR1, lambda *_: events.close())
    sender = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    sender.start()
    try:
        assert list(events) == []
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    events.close()
