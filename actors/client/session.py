"""`LineSession`: what a client knows of its session with a server, whatever connections carry it: the token, how much each side
has taken, and what is on its way.

One for each line. The transport tells it what comes and asks it what is to be sent; the line asks it what to offer, and tells it
what was chosen. No I/O. doc/reference/protocol.md is what it follows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from wspulse.actors.client.outbox import Outbox
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.log_limit import shortened

__all__ = ["EXACT", "RESERVED", "BadPeerError", "LineSession", "NoSessionError", "Opening", "SessionStart"]

EXACT = "wspulse.1"

RESERVED = "wspulse."
"""How the protocol's own events begin."""

_TOKEN = re.compile(r"[A-Za-z0-9_.~+-]{1,512}")
"""It stands in a header."""

_PLAIN_PING_S = 10.0

_MOST_COUNT = 2**53
"""What every language counts to without rounding."""


class BadPeerError(Exception):
    """The server says what cannot be. The text is the reason that it is closed with."""


class NoSessionError(Exception):
    """What came first on a connection is no first frame. The text says why."""


class SessionStart(msgspec.Struct):
    """The payload of the first frame, `wspulse.session`."""

    id: str
    token: str
    window: float
    ping: float
    ack: tuple[int, int]
    received: int
    recovered: bool
    lost: int = 0


class Opening(NamedTuple):
    """What a connection that has been opened means for what came before it."""

    recovered: bool
    """Whether the session goes on, as far as anybody can know. True for the first one."""
    lost: int
    """So many frames the server has not kept for us."""
    unacknowledged: list[Frame]
    """What was written in the session that has ended; it may have been handled."""


class LineSession:
    """`outbox` holds what is sent; what comes is counted here."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.id = ""
        """The connection's id, where the server has said it."""
        self.ping_s = _PLAIN_PING_S
        """The server says something at least that often."""
        self.is_exact = False
        self._is_begun = False
        self.token = ""
        """What proves that the session is ours; "" where it is not exact."""
        self._received = 0
        self._told = 0
        """What of it the server knows."""
        self._untold_bytes = 0
        self._ack_frames, self._ack_bytes = 1, 0

    @property
    def received(self) -> int:
        """So many frames of the server's have been taken, or were dropped by it and told."""
        return self._received

    # Beginning.

    def offers(self) -> list[str]:
        """The subprotocols to offer. Nothing more is taken from an earlier connection, whose frames are counted here."""
        self.outbox.connection_ended()
        return [EXACT, f"wspulse.resume.{self.token}.{self._received}"] if self.token else [EXACT]

    def open_plain(self) -> Opening:
        """A connection on which nothing is counted: what became of what was sent before, nobody knows."""
        self.id, self.ping_s = "", _PLAIN_PING_S
        return self._open(exact=False, resumed=False, lost=0)

    def open_exact(self, frame: Frame) -> Opening:
        """A connection on which `frame` came first. Raises NoSessionError, and BadPeerError for a count that cannot be."""
        if frame.event != f"{RESERVED}session":
            raise NoSessionError(f"the first frame is {shortened(frame.event)!r}, not the one that begins a session")
        try:
            start = frame.decode(SessionStart)
        except (ValueError, RecursionError) as error:
            raise NoSessionError(f"the first frame is invalid: {shortened(str(error))}") from None
        if not _is_sound(start) or (start.recovered and start.token != self.token):
            raise NoSessionError("the first frame contradicts itself")
        if start.recovered:
            self._acknowledge(start.received)
            self._received += start.lost
        opening = self._open(exact=True, resumed=start.recovered, lost=start.lost)
        self.id, self.token, self.ping_s = start.id, start.token, start.ping
        self._ack_frames, self._ack_bytes = start.ack
        self._told = self._received  # the offer has told it
        self._untold_bytes = 0
        return opening

    def _open(self, exact: bool, resumed: bool, lost: int) -> Opening:
        recovered, unacknowledged = resumed or not self._is_begun, []
        if not resumed:
            unacknowledged = self.outbox.begin_anew()
            self._received = self._told = 0
            self.token = ""
        self.is_exact = self.outbox.keeps = exact
        self._is_begun = True
        return Opening(recovered, lost if resumed else 0, [outgoing.frame for outgoing in unacknowledged])

    # What comes.

    def take(self, size_bytes: int) -> None:
        """A message of the server's was taken into the inbox, or could not be read."""
        self._received += 1
        self._untold_bytes += size_bytes

    def skip(self, frame: Frame) -> int:
        """`wspulse.lost`: the server has dropped so many frames at this place. Raises BadPeerError."""
        count = _count_in(frame)
        if count is None:
            raise BadPeerError("bad count of lost frames")
        self._received += count
        return count

    def acknowledged(self, frame: Frame) -> bool:
        """`wspulse.ack`. Returns whether the server asks what we have taken: its acknowledgement says nothing new, and it does
        not know all of it. Raises BadPeerError."""
        is_new = self._acknowledge(_count_in(frame))
        # The server repeats itself once a period. Two sides that answered each other's answers would never end.
        return not is_new and self._received > self._told

    def _acknowledge(self, count: int | None) -> bool:
        try:
            return self.outbox.acknowledge(-1 if count is None else count)
        except ValueError:
            raise BadPeerError("bad acknowledgement") from None

    # What is to be said of it.

    @property
    def owes(self) -> bool:
        """Whether the server does not know of all that was taken: it does, within 1 s."""
        return self.is_exact and self._received > self._told

    @property
    def owes_much(self) -> bool:
        """Whether that is so much that it is to be told at once, if nothing was a moment ago."""
        untold = self._received - self._told
        return self.is_exact and untold > 0 and (untold >= self._ack_frames or self._untold_bytes >= self._ack_bytes)

    def acknowledgement(self) -> Frame:
        """What is to be sent now."""
        self._told, self._untold_bytes = self._received, 0
        return Frame(f"{RESERVED}ack", self._received)


def _is_sound(start: SessionStart) -> bool:
    """Whether what was said can be lived with: a `ping` of 0 would be a tight loop."""
    return (
        _TOKEN.fullmatch(start.token) is not None
        and 0.01 <= start.ping <= 86400
        and min(start.ack) >= 1
        and 0 <= start.received <= _MOST_COUNT
        and 0 <= start.lost <= _MOST_COUNT
    )


def _count_in(frame: Frame) -> int | None:
    try:
        count = frame.decode()
    except (ValueError, RecursionError):
        return None
    return count if type(count) is int and 0 <= count <= _MOST_COUNT else None
