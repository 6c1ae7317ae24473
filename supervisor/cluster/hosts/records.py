"""What stands in the bucket: `HostInfo` of each host, `Entry` of each connection id; and the keys of both.

Ids are any text, and keys have a small alphabet: a key is a digest of its id, so that it is short and no two ids share one.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

import msgspec

__all__ = ["HOSTS", "Entry", "HostInfo", "decoded", "decoded_entry", "digest", "host_key", "id_key"]

HOSTS = "h"
"""The first part of hosts' keys."""

_IDS = "i"


class HostInfo(msgspec.Struct, frozen=True):
    """A host as it describes itself to the others. `life` is a random number below 2**53 of this start of its supervisor."""

    id: str
    life: int
    workers: int
    started_at: float
    """In seconds since 1970, by the clock of that host."""
    address: str
    """For people: where it is, "10.0.0.7:8000"."""
    settings: dict[str, str]
    """What must be the same on all hosts, by name: its value as text."""
    version: str
    connections: int = 0
    """For people: how many it had when it was last heard."""
    options: dict[str, str] = {}
    """What should be the same on all hosts, since clients notice; empty while its workers start."""
    shards: tuple[tuple[int, int], ...] = ()
    """Its workers, by seat and incarnation."""
    wanted: tuple[bytes, ...] = ()
    """What the topics of events begin with that it wants of the others."""


class Entry(msgspec.Struct, frozen=True):
    """Who has a connection id: a host under a life, and there the session with this birth key."""

    host: str
    life: int
    origin: int
    serial: int


def digest(text: str) -> str:
    """43 letters, digits, "-" and "_". Different for different texts, however alike they look."""
    return urlsafe_b64encode(sha256(text.encode("utf-8", "surrogatepass")).digest()).rstrip(b"=").decode()


def host_key(host: str) -> str:
    return f"{HOSTS}.{digest(host)}"


def id_key(connection_id: str) -> str:
    return f"{_IDS}.{digest(connection_id)}"


def decoded(data: bytes) -> HostInfo | None:
    """None for what is none."""
    try:
        return msgspec.json.decode(data, type=HostInfo)
    except msgspec.DecodeError:
        return None


def decoded_entry(data: bytes) -> Entry | None:
    """None for what is none."""
    try:
        return msgspec.json.decode(data, type=Entry)
    except msgspec.DecodeError:
        return None
