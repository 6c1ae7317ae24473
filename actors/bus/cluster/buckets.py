"""Rooms' buckets and their partitions: the same on every host. No I/O.

A bucket is a group of rooms whose messages have one order, and a subject of its own; the messages of a partition's buckets are
numbered together.
"""

from __future__ import annotations

from zlib import crc32

__all__ = ["BUCKETS", "PARTITIONS", "bucket_of", "partition_of"]

BUCKETS = 4096
PARTITIONS = 16

_GOLDEN = 0x9E3779B1
"""As in `mesh.placement`: CRC-32 alone is linear, and puts names that differ in one character together."""

_SHIFT = 32 - BUCKETS.bit_length() + 1


def bucket_of(topic: bytes) -> int:
    """The bucket of a room, by its topic."""
    return (crc32(topic) * _GOLDEN & 0xFFFFFFFF) >> _SHIFT


def partition_of(bucket: int) -> int:
    return bucket % PARTITIONS
