"""examples/router.py, with two workers and real clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.examples.support import EXAMPLES
from wspulse import ReplyError
from wspulse.testing import BlockingClient, BlockingServer, serve


@pytest.fixture
def shop() -> Iterator[BlockingServer]:
    with serve("router:server", workers=2, cwd=EXAMPLES) as running:
        yield running


def error_of(client: BlockingClient, event: str, payload: Any = None) -> Any:
    with pytest.raises(ReplyError) as refused:
        client.call(event, payload)
    return refused.value.payload


def test_cart_is_kept_for_its_connection_and_every_mistake_is_answered(shop: BlockingServer) -> None:
    alice, bob, nobody = shop.connect("alice"), shop.connect("bob"), shop.connect()
    assert alice.call("cart.add", {"item": "tea", "count": 2}).payload == {"tea": 2}
    assert alice.call("cart.add", {"item": "cake"}).payload == {"tea": 2, "cake": 1}
    assert alice.call("cart.total").payload == 14
    assert bob.call("cart.total").payload == 0
    for event, payload, expected in (
        ("cart.add", {"item": "tea", "count": 0}, {"path": "$.count", "problem": "Expected `int` >= 1"}),
        ("cart.add", {"item": "gold"}, {"path": "$.item", "problem": "Expected one of tea, cake"}),
        ("cart.remove", {"item": "gold"}, {"code": "internal"}),
        ("cart.steal", {}, {"code": "unknown_event"}),
    ):
        assert expected.items() <= error_of(alice, event, payload).items()
    assert alice.call("cart.remove", {"item": "tea"}).payload == {"cake": 1}
    assert error_of(nobody, "cart.total") == {"code": "login_first"}


def test_sender_is_told_to_wait_when_it_sends_too_fast_and_others_are_not(shop: BlockingServer) -> None:
    alice, bob = shop.connect("alice"), shop.connect("bob")
    for number in range(30):
        alice.send("cart.total", id=str(number))
    error = alice.expect("cart.total.error").payload
    assert error["code"] == "too_fast"
    assert 0 < error["retry_after_s"] <= 0.5
    assert bob.call("cart.total").payload == 0
    assert sum(frame.event == "cart.total" for frame in alice.received) >= 20
