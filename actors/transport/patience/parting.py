"""`Parting`: how long a peer has for our last words, and for its own.

Made by a transport when it has said its last words, and called by the shard's ticker. While the peer has not taken them it must
go on taking something; when it has, its close frame, or its end, is awaited for a while. It knows no socket and no clock; times
are in seconds, on the shard's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["CLOSE_WAIT_S", "DISCARD_WAIT_S", "KICK_WAIT_S", "Parting", "Patience"]

CLOSE_WAIT_S = 3.0
"""How long the peer's answer to a close frame is awaited (contract §3)."""

DISCARD_WAIT_S = 1.0
"""How long a peer that broke the protocol may go on sending before it is reset: long enough to read why."""

KICK_WAIT_S = 0.5
"""How long a peer that is behind, and is to go at once, may take nothing before it is reset: one that reads slowly hears why."""

_LOOK_S = 0.25
"""Between two looks at a peer that has not taken everything."""


class Patience(NamedTuple):
    """With a peer that is told to go, in seconds."""

    answer_s: float
    """From when everything is taken, until the socket ends."""
    stall_s: float
    """Without a byte being taken, while some are left."""
    most_s: float
    """In all, while some are left."""


class Parted(Protocol):
    """A transport, as its parting sees it."""

    @property
    def has_ended(self) -> bool: ...

    @property
    def blocked(self) -> bool:
        """Whether the kernel has not taken all of it."""

    @property
    def unsent_bytes(self) -> int:
        """How much the peer has not taken, in our buffer and the kernel's."""

    def patience_ends(self) -> None:
        """Whatever still comes is of no use."""


class Parting:
    """See the module. Looks from `now` on, until the socket has ended."""

    __slots__ = ("_at", "_begun_at", "_moved_at", "_patience", "_taken_at", "_transport", "_unsent_bytes")

    def __init__(
        self,
        transport: Parted,
        at: Callable[[float, Callable[[float], None]], None],
        now: float,
        patience: Patience,
    ) -> None:
        self._transport = transport
        self._at = at
        self._begun_at = self._moved_at = now
        self._patience = patience
        self._taken_at: float | None = now
        """What the kernel has, it has delivered in no time, unless a look shows that it has not."""
        if patience.stall_s >= patience.answer_s and not transport.blocked:
            # Almost always, and then all is over long before the first look: the kernel need not be asked.
            self._unsent_bytes: float = float("inf")
            at(now + patience.answer_s, self)
        else:
            self._unsent_bytes = transport.unsent_bytes
            at(now + (_LOOK_S if transport.blocked else patience.stall_s), self)

    def __call__(self, now: float) -> None:
        transport, patience = self._transport, self._patience
        if transport.has_ended:
            return
        unsent_bytes = transport.unsent_bytes
        if unsent_bytes:
            self._taken_at = None
            if unsent_bytes < self._unsent_bytes:
                self._unsent_bytes = unsent_bytes
                self._moved_at = now
            end = min(self._moved_at + patience.stall_s, self._begun_at + patience.most_s)
            look_at = min(now + _LOOK_S, end)
        else:
            if self._taken_at is None:
                self._taken_at = now
            end = look_at = self._taken_at + patience.answer_s
        if now < end:
            self._at(look_at, self)
        else:
            transport.patience_ends()
