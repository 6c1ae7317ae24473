from __future__ import annotations

from wspulse.actors.transport.owed import Owed
from wspulse.actors.wire.frames import PING, PONG, encode_frame


def test_ping_goes_before_the_pongs_and_those_in_their_order() -> None:
    owed = Owed()
    owed.pong(b"1", newest_only=False)
    owed.pong(b"2", newest_only=False)
    owed.ping(b"old")
    owed.ping(b"new")
    assert owed.wire() == encode_frame(PING, b"new") + encode_frame(PONG, b"1") + encode_frame(PONG, b"2")


def test_newest_pong_takes_the_place_of_those_before_it() -> None:
    owed = Owed()
    for number in range(5):
        owed.pong(b"%d" % number, newest_only=True)
    assert owed.wire() == encode_frame(PONG, b"4")
