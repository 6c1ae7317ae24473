"""All that a transport is travels, or is named here with why it stays: a field that is added fails until somebody has decided."""

from __future__ import annotations

import pytest

from wspulse.actors.transport.compression.compressing import CompressingTransport
from wspulse.actors.transport.outlet import Outlet
from wspulse.actors.transport.owed import Owed
from wspulse.actors.transport.patience.heartbeat import Heartbeat
from wspulse.actors.transport.transfer.movable import Movable
from wspulse.actors.transport.transfer.record import HeartbeatRecord, TransportRecord
from wspulse.actors.transport.transport import Transport
from wspulse.actors.wire.compression.inflating_parser import InflatingParser
from wspulse.actors.wire.framing import FrameParser
from wspulse.actors.wire.parser_record import ParserRecord
from wspulse.actors.wire.unfinished_message import UnfinishedMessage

TRAVELS: dict[type, dict[str, str]] = {
    Outlet: {"_owed": "owed"},
    Movable: {"_heartbeat": "heartbeat", "_parser": "parser"},
    Transport: {},
    CompressingTransport: {"_window_bits": "window_bits"},
    Owed: {"_ping": "owed", "_pongs": "owed"},
    Heartbeat: {
        "_next_ping": "last_ping_ago_s",
        "_payload": "payload",
        "_pinged_at": "pinged_ago_s",
        "_stopped_at": "pinged_ago_s",
        "latency_s": "latency_s",
    },
    InflatingParser: {},
    FrameParser: {"rest": "rest", "_position": "rest", "_unfinished": "opcode"},
    UnfinishedMessage: {
        "_buffer": "content",
        "_is_text": "opcode",
        "_split_character": "split_character",
        "is_last_frame": "is_last_frame",
        "mask": "mask",
        "missing_bytes": "missing_bytes",
        "opcode": "opcode",
        "size": "size_bytes",
    },
}
"""In which field of a record."""

STAYS: dict[type, dict[str, str]] = {
    Outlet: {
        "_client": "the socket travels beside the record",
        "_watch": "its time begins anew; what it knows was written is `unsent`",
        "blocked": "found out by writing",
        "shard": "another's there",
        "write": "the socket's",
    },
    Movable: {
        "half_closed": "such a one does not leave",
        "session": "lets go before",
        "state": "open there, and held again where its session is behind",
    },
    Transport: {
        "_is_released": "a turn that was due is due at once",
        "corked": "of a read, in which none leaves",
        "upgrade": "was taken by its session",
    },
    CompressingTransport: {
        "_deflater": "there is one in each process",
        "_write": "the socket's",
    },
    Owed: {},
    Heartbeat: {"_doubt": "begins anew", "_transport": "another one there"},
    FrameParser: {"_max_message_size": "an option"},
    InflatingParser: {"_inflated_bytes": "others have their turn meanwhile", "_most_inflated_bytes": "an option"},
    UnfinishedMessage: {},
}

OTHERS = {"unsent": "the end of what was written", "counted": "by the access log"}
"""What a record has that is no field of these."""


@pytest.mark.parametrize("kind", TRAVELS, ids=lambda kind: kind.__name__)
def test_every_field_of_what_a_transport_is_made_of_travels_or_is_named_as_staying(kind: type) -> None:
    fields: tuple[str, ...] = vars(kind)["__slots__"]
    assert sorted(fields) == sorted([*TRAVELS[kind], *STAYS[kind]])


def test_every_field_of_a_record_comes_of_something() -> None:
    there = {name for fields in TRAVELS.values() for name in fields.values()} | set(OTHERS)
    record = TransportRecord.__struct_fields__ + HeartbeatRecord.__struct_fields__ + ParserRecord.__struct_fields__
    assert there == set(record)
