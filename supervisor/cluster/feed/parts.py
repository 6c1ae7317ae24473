"""How a message that is larger than NATS takes travels: in parts, each a message of its bucket. No I/O.

Those before the last have the header `Wspulse-Part`; the last names their sequences in `Wspulse-Parts`, joined by commas, and
counts as the message. Others' messages may be stored between them.
"""

from __future__ import annotations

from collections.abc import Mapping

from wspulse.supervisor.cluster.feed.chain import Stored

__all__ = ["HEADERS_BYTES", "MOST_BYTES", "cut", "last_part_headers", "part_headers", "read_headers", "read_stored"]

PART = "Wspulse-Part"
PARTS = "Wspulse-Parts"

MOST_BYTES = 8 * 1024 * 1024
"""Of a message: a partition holds 12 MiB, and a repair must find all parts in it."""

HEADERS_BYTES = 1024
"""What of NATS' `max_payload` is left to headers. The numbers of `_MOST_PARTS` parts find room in it."""

_MOST_PARTS = 48

_DIGITS = 20
"""More than a sequence has."""


def cut(data: bytes, max_payload: int) -> list[bytes]:
    """The parts. Raises ValueError, with a reason for people, for what is too large."""
    size = max_payload - HEADERS_BYTES
    if len(data) <= size:
        return [data]
    if len(data) > MOST_BYTES:
        raise ValueError(f"a message of {len(data)} bytes is too large for a cluster, whose limit is {MOST_BYTES}")
    if len(data) > size * _MOST_PARTS:
        raise ValueError(
            f"a message of {len(data)} bytes is too large for NATS servers with max_payload {max_payload}: raise it"
        )
    return [data[at : at + size] for at in range(0, len(data), size)]


def part_headers() -> dict[str, str]:
    return {PART: "1"}


def last_part_headers(earlier: list[int]) -> dict[str, str]:
    """Of the message itself, behind parts with these sequences."""
    return {PARTS: ",".join(map(str, earlier))} if earlier else {}


def read_headers(sequence: int, data: bytes, headers: Mapping[str, str]) -> Stored:
    if PARTS in headers and (parts := _parts(headers[PARTS], sequence)):
        return Stored(sequence, data, parts=parts)
    return Stored(sequence, data, PART in headers)


def _parts(text: str, sequence: int) -> tuple[int, ...]:
    """Nothing for what no feed has written: whoever may publish to NATS may write anything."""
    words = text.split(",")
    if len(words) > _MOST_PARTS or not all(word.isdecimal() and len(word) < _DIGITS for word in words):
        return ()
    parts = tuple(map(int, words))
    return parts if all(0 < part < sequence for part in parts) else ()


def read_stored(sequence: int, data: bytes, block: bytes) -> Stored:
    """From a block of headers as it is stored."""
    lines = block.decode(errors="replace").split("\r\n")[1:]
    return read_headers(
        sequence, data, {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    )
