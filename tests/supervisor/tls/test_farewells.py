"""Clients that leave: each has as long as it takes something."""

from __future__ import annotations

from wspulse.supervisor.tls.farewells import Farewells


class Client:
    def __init__(self) -> None:
        self.bytes = 0
        self.is_cut_off = False

    def taken(self) -> object:
        return self.bytes

    def cut_off(self) -> None:
        self.is_cut_off = True


def test_client_has_as_long_as_it_takes_something_and_ten_seconds_after_that() -> None:
    farewells, client = Farewells(), Client()
    farewells.begin(client)
    for second in range(0, 900, 9):
        client.bytes += 1
        farewells.look(second)
    farewells.begin(client)
    farewells.look(900.9)
    assert not client.is_cut_off
    farewells.look(901.0)
    assert client.is_cut_off


def test_client_that_is_gone_is_not_cut_off() -> None:
    farewells, gone, stuck = Farewells(), Client(), Client()
    farewells.begin(gone)
    farewells.begin(stuck)
    farewells.look(0.0)
    farewells.discard(gone)
    farewells.discard(gone)
    farewells.look(10.0)
    assert (gone.is_cut_off, stuck.is_cut_off) == (False, True)
