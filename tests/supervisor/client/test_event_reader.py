"""What is missing in a stream, seen in its numbers."""

from __future__ import annotations

import msgspec

from wspulse.supervisor.client.event_reader import EventReader


def test_reader_sees_gaps_by_topic_and_after_an_interruption() -> None:
    reader = EventReader()

    def missed(topic: bytes, seq: int, prev: int) -> bool:
        data = msgspec.msgpack.encode({"kind": "x", "seq": seq, "prev": prev, "time": 0.0})
        event = reader.read([topic, data])
        assert event is not None
        return event.missed

    assert [missed(b"a", 5, 3), missed(b"b", 6, 0), missed(b"a", 8, 5), missed(b"b", 9, 7)] == [
        False,
        False,
        False,
        True,
    ]
    reader.interrupted()
    assert [missed(b"a", 9, 8), missed(b"a", 10, 9)] == [True, False]
    assert reader.read([b"a"]) is None
    assert reader.read([b"a", b"\xc1"]) is None
