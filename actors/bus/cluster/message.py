"""What a worker and the gateway of its host say to each other on the bus, besides the messages of rooms. No I/O.

    b"a" origin u64 │ life u64 │ (number u64 │ sequence u64) × …      gateway to worker: these messages are kept by the cluster
    b"s" origin u64 │ life u64 │ number u64 │ has rooms u8            a topic: a worker subscribes to it, and it comes back
    b"p" … ; │ sequence u64 × 16                                      a probe that came back, with the partitions' positions

An acknowledgement without pairs says which gateway there is. A worker that hears it resumes: it subscribes to a fresh topic `s`,
which lies behind all that its socket has said to the gateway again, and drops rooms' messages until that has come back; from then
on all comes that it may have missed. So that none from before that slips in, the sequence in a room's message bears a tag of the
gateway's life.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from wspulse.actors.bus.cluster.buckets import PARTITIONS

__all__ = [
    "ACKNOWLEDGEMENT_PREFIX",
    "REFUSED",
    "RESUME_PREFIX",
    "Acknowledgement",
    "acknowledgement_origin",
    "acknowledgement_topic",
    "pack_acknowledgement",
    "pack_positions",
    "probe_life",
    "resume_has_rooms",
    "resume_life",
    "resume_topic",
    "split_probe",
    "tag_of",
    "tagged",
    "unpack_acknowledgement",
    "untagged",
]

ACKNOWLEDGEMENT_PREFIX = b"a"
RESUME_PREFIX = b"s"

REFUSED = 0
"""In the place of the sequence of a message that the cluster can never keep."""

_ORIGIN = Struct("<Q")
_HEAD = Struct("<QQ")
_PAIR = Struct("<QQ")
_RESUME = Struct("<QQQ?")
_POSITIONS = Struct(f"<{PARTITIONS}Q")

_TAG_SHIFT = 53
"""The sequence is below: streams begin at the microseconds of the clock, which get there in 2255."""

_TAG_MASK = 0x7FF
_SEQUENCE_MASK = (1 << _TAG_SHIFT) - 1


class Acknowledgement(NamedTuple):
    life: int
    """Of the gateway."""
    pairs: list[tuple[int, int]]
    """Numbers of messages, and their sequences, or REFUSED."""


def acknowledgement_topic(origin: int) -> bytes:
    return ACKNOWLEDGEMENT_PREFIX + _ORIGIN.pack(origin)


def acknowledgement_origin(topic: bytes) -> int:
    origin: int = _ORIGIN.unpack_from(topic, 1)[0]
    return origin


def pack_acknowledgement(origin: int, life: int, pairs: Sequence[tuple[int, int]]) -> bytes:
    return b"".join((ACKNOWLEDGEMENT_PREFIX, _HEAD.pack(origin, life), *(_PAIR.pack(*pair) for pair in pairs)))


def unpack_acknowledgement(data: bytes) -> Acknowledgement:
    at = 1 + _HEAD.size
    return Acknowledgement(_HEAD.unpack_from(data, 1)[1], list(_PAIR.iter_unpack(data[at:])))


def resume_topic(origin: int, life: int, number: int, *, has_rooms: bool) -> bytes:
    """Of which nothing is to be sent again where the worker has no rooms."""
    return RESUME_PREFIX + _RESUME.pack(origin, life, number, has_rooms)


def resume_life(topic: bytes) -> int:
    life: int = _RESUME.unpack_from(topic, 1)[1]
    return life


def resume_has_rooms(topic: bytes) -> bool:
    has_rooms: bool = _RESUME.unpack_from(topic, 1)[3]
    return has_rooms


def probe_life(topic: bytes) -> int:
    """Of the gateway by which a probe is to be answered."""
    return int(topic[:-1].rpartition(b".")[2])


def pack_positions(positions: Sequence[int]) -> bytes:
    """What stands behind a probe's topic."""
    return _POSITIONS.pack(*positions)


def split_probe(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """A probe that came back: its topic, and the partitions' positions. Raises struct.error where it has none."""
    end = data.index(b";") + 1
    return data[:end], _POSITIONS.unpack_from(data, end)


def tag_of(life: int) -> int:
    return life & _TAG_MASK


def tagged(tag: int, sequence: int) -> int:
    """A sequence as the gateway with this tag writes it into a room's message."""
    return tag << _TAG_SHIFT | sequence


def untagged(sequence: int) -> tuple[int, int]:
    """The tag and the sequence."""
    return sequence >> _TAG_SHIFT, sequence & _SEQUENCE_MASK
