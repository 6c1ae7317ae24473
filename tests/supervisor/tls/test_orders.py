"""What the supervisor says to a terminator, in whatever pieces it comes."""

from __future__ import annotations

import pytest

from wspulse.supervisor.tls.certificates.pem import Pem
from wspulse.supervisor.tls.orders import END, Orders, show_order


@pytest.mark.parametrize("piece", [1, 3, 10, 1000])
def test_orders_are_the_same_in_whatever_pieces_they_come(piece: int) -> None:
    one, other = Pem(b"e" * 20, b"key"), Pem(b"", b"")
    stream = show_order(one) + END + show_order(other) + show_order(one) + END + END
    orders = Orders()
    taken = [each for at in range(0, len(stream), piece) for each in orders.take(stream[at : at + piece])]
    assert taken == [one, None, other, one, None, None]
