"""The answer to a worker that wants to know when its events are published."""

from __future__ import annotations

from typing import Any, cast

from wspulse.actors.mesh.lifecycle import Events, EventsMark, EventsTaken
from wspulse.actors.mesh.message import Message
from wspulse.supervisor.control.plane import ControlPlane
from wspulse.supervisor.process.child import Child
from wspulse.supervisor.settings.layers import resolve


def test_worker_is_answered_when_the_events_ahead_of_its_mark_are_published() -> None:
    log: list[Any] = []

    class Publisher:
        def publish(self, topic: bytes, _event: bytes) -> None:
            log.append(topic)

    class Teller:
        def tell(self, message: Message) -> None:
            log.append(message)

    plane = ControlPlane(resolve({}, {}), cast("Any", None), cast("Any", None), {})
    plane.events = cast("Any", Publisher())
    child = cast("Child", Teller())
    plane.take_events(child, Events([(b"connect.lobby", b"")], 0))
    plane.take_events(child, EventsMark(7))
    assert log == [b"connect.lobby", EventsTaken(7)]
