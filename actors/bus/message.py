"""The wire form of a room's message on the bus, and the check that none is missing. No I/O.

    b"r" room 0xff │ sender u64 │ number u64 │ previous u64 │ sequence u64 │ count u32 │ length u32 × count │ the frames, joined

A frame that some members are not to get has a message of its own, with a count of 0, and behind it an extension:

    number of the extension, 1 u8 │ length u32 │ connection ids, joined by 0xff │ the frame

Whoever does not know an extension finds no frame in it. `sender` is the publishing shard's incarnation, or its origin where
there are several hosts; `number` counts its messages, `previous` is the number of its message before this one in the same room,
0 for unknown. `sequence` is the message's place in the order of all hosts, written in by the gateway; 0 without one. The topic
ends with a byte that UTF-8 never has, so that no room's topic is the beginning of another's.
"""

from __future__ import annotations

from collections.abc import KeysView
from struct import Struct
from typing import NamedTuple

__all__ = [
    "CUT_PREFIX",
    "ECHO_PREFIX",
    "LAST_WORD_PREFIX",
    "MARK_PREFIX",
    "PROBE_PREFIX",
    "ROOM_PREFIX",
    "BusMessage",
    "GapWatch",
    "cut_topic",
    "echo_topic",
    "identity",
    "mark_topic",
    "pack",
    "pack_but",
    "pack_cut",
    "pack_echo",
    "pack_last_word",
    "pack_mark",
    "probe_topic",
    "room_of",
    "room_topic",
    "topic_of",
    "unpack",
    "unpack_cut",
    "unpack_echo",
    "unpack_last_word",
    "unpack_mark",
    "with_sequence",
]

ROOM_PREFIX = b"r"
PROBE_PREFIX = b"p"
MARK_PREFIX = b"m"
ECHO_PREFIX = b"e"
CUT_PREFIX = b"c"
LAST_WORD_PREFIX = b"l"
"""Of all processes: each says one, and all hear it."""

_MOST_SENDERS = 4096
"""Remembered in one room. There are not so many at once: most are of earlier lives of shards."""

_END = b"\xff"
_NOBODY: frozenset[str] = frozenset()
_HEAD = Struct("<QQQQI")
_SEQUENCE = Struct("<Q")
_SEQUENCE_AT = 24
"""In the head."""

_IDENTITY = Struct("<QQ")
_EXCLUDING = 1
_EXTENSION = Struct("<BI")
_MARK_TOPIC = Struct("<I")
_MARK = Struct("<IIIQ")
_ECHO_TOPIC = Struct("<II")
_ECHO = Struct("<IIQ")
_CUT_TOPIC = Struct("<I")
_CUT = Struct("<IQ")
_LAST_WORD = Struct("<I")


class BusMessage(NamedTuple):
    room_id: str
    sender: int
    number: int
    previous: int
    frames: list[bytes]
    excluded: frozenset[str] = _NOBODY
    """The connections that do not get them."""

    sequence: int = 0


def room_topic(room_id: str) -> bytes:
    return ROOM_PREFIX + room_id.encode("utf-8", "surrogatepass") + _END


def pack(topic: bytes, sender: int, number: int, previous: int, frames: list[bytes]) -> bytes:
    lengths = Struct(f"<{len(frames)}I").pack(*map(len, frames))
    return b"".join((topic, _HEAD.pack(sender, number, previous, 0, len(frames)), lengths, *frames))


def pack_but(topic: bytes, sender: int, number: int, previous: int, frame: bytes, excluded: frozenset[str]) -> bytes:
    """A message with one frame for all members but these."""
    ids = _END.join([connection_id.encode("utf-8", "surrogatepass") for connection_id in excluded])
    head = _HEAD.pack(sender, number, previous, 0, 0)
    return b"".join((topic, head, _EXTENSION.pack(_EXCLUDING, len(ids)), ids, frame))


def unpack(data: bytes) -> BusMessage:
    end = data.index(_END)
    room_id = data[1:end].decode("utf-8", "surrogatepass")
    at = end + 1
    sender, number, previous, sequence, count = _HEAD.unpack_from(data, at)
    at += _HEAD.size
    if count == 1:
        return BusMessage(room_id, sender, number, previous, [data[at + 4 :]], _NOBODY, sequence)
    if count == 0 and at < len(data):
        extension, length = _EXTENSION.unpack_from(data, at)
        if extension != _EXCLUDING:
            return BusMessage(room_id, sender, number, previous, [], _NOBODY, sequence)
        at += _EXTENSION.size
        ids = data[at : at + length].split(_END)
        excluded = frozenset(each.decode("utf-8", "surrogatepass") for each in ids)
        return BusMessage(room_id, sender, number, previous, [data[at + length :]], excluded, sequence)
    lengths = Struct(f"<{count}I").unpack_from(data, at)
    at += 4 * count
    frames = []
    for length in lengths:
        frames.append(data[at : at + length])
        at += length
    return BusMessage(room_id, sender, number, previous, frames, _NOBODY, sequence)


def room_of(topic: bytes) -> str:
    return topic[1:-1].decode("utf-8", "surrogatepass")


def topic_of(data: bytes) -> bytes:
    """Of a room's message."""
    return data[: data.index(_END) + 1]


def identity(data: bytes, topic: bytes) -> tuple[int, int]:
    """The sender of a room's message, and its number: no other message has both."""
    sender, number = _IDENTITY.unpack_from(data, len(topic))
    return sender, number


def with_sequence(data: bytes, sequence: int) -> bytes | None:
    """A room's message, with its place in the order of all hosts; None for what has no head of one."""
    end = data.find(_END) + 1
    if not end or len(data) < end + _HEAD.size:
        return None
    at = end + _SEQUENCE_AT
    return b"".join((data[:at], _SEQUENCE.pack(sequence), data[at + _SEQUENCE.size :]))


def mark_topic(shard: int) -> bytes:
    """Of the marks for a shard; all are of one length, so that none is the beginning of another's."""
    return MARK_PREFIX + _MARK_TOPIC.pack(shard)


def pack_mark(to: int, shard: int, sender: int, number: int) -> bytes:
    """A mark of `sender` (a shard, and its incarnation) for the shard `to`, which answers when it has delivered what that sender
    published before it."""
    return MARK_PREFIX + _MARK.pack(to, shard, sender, number)


def unpack_mark(data: bytes) -> tuple[int, int, int]:
    """Who sent it, as shard and incarnation, and its number."""
    _, shard, sender, number = _MARK.unpack_from(data, 1)
    return shard, sender, number


def echo_topic(shard: int, incarnation: int) -> bytes:
    """Of what a shard sends to itself."""
    return ECHO_PREFIX + _ECHO_TOPIC.pack(shard, incarnation)


def pack_echo(shard: int, incarnation: int, number: int) -> bytes:
    return ECHO_PREFIX + _ECHO.pack(shard, incarnation, number)


def unpack_echo(data: bytes) -> int:
    """Its number."""
    number: int = _ECHO.unpack_from(data, 1)[2]
    return number


def cut_topic(incarnation: int) -> bytes:
    """Of the cuts of one process; all are of one length, so that none is the beginning of another's."""
    return CUT_PREFIX + _CUT_TOPIC.pack(incarnation)


def pack_cut(incarnation: int, number: int) -> bytes:
    """A cut in what all publish: everybody who gets it has got the same before it."""
    return CUT_PREFIX + _CUT.pack(incarnation, number)


def unpack_cut(data: bytes) -> tuple[int, int]:
    """Whose it is, and its number."""
    incarnation, number = _CUT.unpack_from(data, 1)
    return incarnation, number


def pack_last_word(incarnation: int) -> bytes:
    """A process publishes nothing behind it."""
    return LAST_WORD_PREFIX + _LAST_WORD.pack(incarnation)


def unpack_last_word(data: bytes) -> int:
    incarnation: int = _LAST_WORD.unpack_from(data, 1)[0]
    return incarnation


def probe_topic(shard: int, incarnation: int, number: int, life: int = 0) -> bytes:
    """`life`: of the gateway by which it is to be answered, where there is one."""
    return PROBE_PREFIX + b"%d.%d.%d.%d;" % (shard, incarnation, number, life)


class GapWatch:
    """What one shard has last seen of each sender in each joined room."""

    __slots__ = ("_rooms",)

    def __init__(self) -> None:
        self._rooms: dict[str, dict[int, int]] = {}

    def joined(self, room_id: str) -> None:
        self._rooms[room_id] = {}

    def left(self, room_id: str) -> None:
        self._rooms.pop(room_id, None)

    @property
    def rooms(self) -> KeysView[str]:
        """Those that are joined."""
        return self._rooms.keys()

    def last_of(self, message: BusMessage) -> int:
        """The number of the last one of its sender in its room; 0 for unknown."""
        return self._rooms[message.room_id].get(message.sender, 0)

    def follows(self, message: BusMessage) -> bool:
        """Note a message. False where an earlier one of its sender to this room should have come and did not."""
        seen = self._rooms.get(message.room_id)
        if seen is None:
            return True
        last = seen.get(message.sender)
        if last is None and len(seen) >= _MOST_SENDERS:
            seen.clear()
        seen[message.sender] = message.number
        return last is None or message.previous == 0 or message.previous == last
