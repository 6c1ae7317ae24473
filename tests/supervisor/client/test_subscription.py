"""What a stream of events knows, without a stream."""

from __future__ import annotations

import msgspec

from wspulse.supervisor.client.subscription import Subscription
from wspulse.supervisor.protocol.types import Event


def parts(seq: int, prev: int = 0, topic: str = "connect.lobby") -> list[bytes]:
    kind = topic.partition(".")[0]
    return [topic.encode(), msgspec.msgpack.encode({"kind": kind, "seq": seq, "prev": prev, "time": 0.0})]


def waiting(subscription: Subscription) -> list[tuple[int, bool]]:
    """What waits: numbers, and whether something is missing before."""
    found = []
    while (event := subscription.next_event()) is not None:
        assert isinstance(event, Event)
        found.append((event.seq, event.missed))
    return found


def test_without_topics_everything_is_wanted() -> None:
    assert Subscription(()).topics == [b""]
    assert Subscription(("connect.", "drop.")).topics == [b"connect.", b"drop."]


def test_subscription_is_active_when_its_own_probe_has_come_back() -> None:
    subscription = Subscription(())
    seen = []
    for token, probe in (("mine", "theirs"), ("mine", "mine"), ("newer", "mine"), ("newer", "newer")):
        subscription.begin(token)
        changed = subscription.take(parts(0, topic=f"ping.{probe}"))
        seen.append((changed, subscription.is_active))
    assert seen == [(False, False), (True, True), (False, False), (True, True)]
    assert waiting(subscription) == [], "probes are no events"


def test_events_wait_in_order_also_before_the_probe() -> None:
    subscription = Subscription(())
    subscription.begin("mine")
    assert subscription.take(parts(1))
    subscription.take(parts(0, topic="ping.mine"))
    assert subscription.take(parts(2, 1))
    assert waiting(subscription) == [(1, False), (2, False)]
    assert waiting(subscription) == []


def test_what_is_no_event_changes_nothing() -> None:
    subscription = Subscription(())
    subscription.begin("mine")
    assert not subscription.take([b"connect.lobby", b"\xc1"])
    assert not subscription.take([b"connect.lobby"])
    assert waiting(subscription) == []


def test_oldest_is_dropped_beyond_the_limit_and_the_next_says_so() -> None:
    subscription = Subscription((), most_waiting=2)
    subscription.begin("mine")
    for seq in (1, 2, 3):
        subscription.take(parts(seq, seq - 1))
    assert waiting(subscription) == [(2, True), (3, False)]


def test_nothing_is_dropped_without_a_limit() -> None:
    subscription = Subscription(())
    subscription.begin("mine")
    for seq in range(1, 20_001):
        subscription.take(parts(seq, seq - 1))
    assert len(waiting(subscription)) == 20_000


def test_first_event_of_another_connection_says_that_some_may_be_missing() -> None:
    subscription = Subscription(())
    subscription.begin("first")
    subscription.take(parts(1))
    subscription.begin("second")
    subscription.take(parts(5, topic="drop.elsewhere"))
    subscription.take(parts(6, 1))
    assert waiting(subscription) == [(1, False), (5, True), (6, False)]
