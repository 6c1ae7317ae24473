"""examples/router.py, with two workers and real clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples.support import EXAMPLES
from wspulse.testing import BlockingServer, serve


@pytest.fixture
def shop() -> Iterator[BlockingServer]:
    with serve("router:server", workers=2, cwd=EXAMPLES) as running:
        yield running


def test_cart_is_kept_for_its_connection_and_every_mistake_is_answered(shop: BlockingServer) -> None:
    alice, bob, nobody = shop.connect("alice"), shop.connect("bob"), shop.connect()
    alice.send("cart.add", {"item": "tea", "count": 2}, id="1")
    alice.send("cart.add", {"item": "cake"}, id="2")
    alice.send("cart.total", id="3")
    assert [(frame.id, frame.payload) for frame in (alice.next(), alice.next(), alice.next())] == [
        ("1", {"tea": 2}),
        ("2", {"tea": 2, "cake": 1}),
        ("3", 14),
    ]
    bob.send("cart.total")
    assert bob.expect("total").payload == 0
    for event, payload, expected in (
        ("cart.add", {"item": "tea", "count": 0}, {"path": "$.count", "problem": "Expected `int` >= 1"}),
        ("cart.add", {"item": "gold"}, {"path": "$.item", "problem": "Expected one of tea, cake"}),
        ("cart.remove", {"item": "gold"}, {"code": "internal"}),
        ("cart.steal", {}, {"code": "unknown_event"}),
    ):
        alice.send(event, payload, id="7")
        error = alice.expect("error")
        assert error.id == "7"
        assert expected.items() <= error.payload.items()
    nobody.send("cart.total")
    assert nobody.expect("error").payload == {"code": "login_first"}


def test_sender_is_told_to_wait_when_it_sends_too_fast_and_others_are_not(shop: BlockingServer) -> None:
    alice, bob = shop.connect("alice"), shop.connect("bob")
    for _ in range(30):
        alice.send("cart.total")
    error = alice.expect("error").payload
    assert error["code"] == "too_fast"
    assert 0 < error["retry_after_s"] <= 0.5
    bob.send("cart.total")
    bob.expect("total")
    assert sum(frame.event == "total" for frame in alice.received) >= 20
