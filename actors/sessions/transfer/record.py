"""`SessionRecord`: all that a session is, as plain values that go to another process.

Made and read by `recording`. `FORMAT` rises with every change of what it means; a process that does not know a format takes no
session of it. Times are in seconds, relative to the moment at which the record was made.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wspulse.actors.transport.transfer.record import TransportRecord
from wspulse.actors.values.request import INSECURE, Address, Scheme

__all__ = ["FORMAT", "ErrorRecord", "ExactRecord", "ReturnRecord", "SessionRecord", "WaitingFrame"]

FORMAT = 2


class WaitingFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A frame of the client's that waits for its handler. `kind` says what `payload` was: "raw" (as the codec passes it
    through), "text", "bytes", or "" for none; `is_packed` that it is read as msgpack."""

    event: str
    id: str
    kind: str
    payload: bytes
    size_bytes: int
    is_packed: bool


class ErrorRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why a transport was lost. `kind` is the name of one of our errors, or "other"."""

    kind: str
    text: str = ""
    code: int = 0


class ReturnRecord(msgspec.Struct, frozen=True, array_like=True):
    """What the last reconnect brought."""

    head: bytes
    remote_address: Address | None
    state: dict[Any, Any] | None
    scheme: Scheme = INSECURE


class ExactRecord(msgspec.Struct, frozen=True, array_like=True):
    """What an exact session has beside: its token, its counts, and what the client has not acknowledged."""

    token: str
    received: int
    told: int
    untold_bytes: int
    owes_ack: bool
    greeting: tuple[bool, int] | None
    """Of the first frame that the transport has yet to get: whether the session was recovered, and how many frames were lost."""
    frames: list[bytes]
    first: int
    unsent: int
    gap: int
    acknowledged: int
    sent_before: int


class SessionRecord(msgspec.Struct, frozen=True, array_like=True):
    """See the module."""

    connection_id: str
    birth: tuple[int, int]
    """(incarnation, serial) of where it began."""
    rooms: list[str]
    """The first one first."""
    head: bytes
    """Of the request that opened it."""
    remote_address: Address | None
    state: dict[Any, Any] | None
    """The application's."""
    subprotocol: str | None
    resumes: bool
    connected_at: float
    dropped_frames: int
    epoch: int
    window_left_s: float | None = None
    """Of one that waits for its client; None for one that has a transport."""
    error: ErrorRecord | None = None
    """Why it lost its transport, while it waits."""
    buffered: list[bytes] = []
    """What waits to be sent, the oldest first; of an exact session its log has it."""
    waiting: list[WaitingFrame] = []
    was_asked: bool = False
    """Whether it was ever called: what comes with the id of a call is an answer, for whom nobody waits any more."""
    returned: ReturnRecord | None = None
    exact: ExactRecord | None = None
    transport: TransportRecord | None = None
    scheme: Scheme = INSECURE
    """Of the request that opened it."""
