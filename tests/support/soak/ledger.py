"""`Ledger`: what one kind of clients has said, heard and missed. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

__all__ = ["Ledger", "merged"]


@dataclass
class Ledger:
    """Of one kind. With `may_miss` a gap is no loss: a reader that is too slow has its oldest frames dropped, and a plain session
    that comes back may miss what its dead socket had."""

    kind: str
    may_miss: bool = False
    clients: int = 0
    said: int = 0
    heard: int = 0
    lost: int = 0
    """Frames that should have come and did not."""
    doubled: int = 0
    """Frames that came twice, or after a later one."""
    missed: int = 0
    """Frames that did not come, and need not."""
    came_back: int = 0
    """Of its own doing: sockets that it cut, and sessions that went on."""
    sessions_lost: int = 0
    """Sessions that should have gone on, and did not."""
    closed: int = 0
    """Sockets that ended otherwise."""
    refused: int = 0
    notes: list[str] = field(default_factory=list)
    """Of the first few that went wrong, what it was."""
    spoken: dict[str, int] = field(default_factory=dict, repr=False)
    """By voice, the number of its last frame."""

    def say(self, voice: str) -> int:
        """The number of the frame that this voice says now."""
        self.said += 1
        self.spoken[voice] = number = self.spoken.get(voice, 0) + 1
        return number

    def hear(self, heard: dict[str, int], voice: str, number: int) -> None:
        """One client, of which `heard` has the last number by voice, hears a frame."""
        self.heard += 1
        last = heard.get(voice)
        if last is not None and number <= last:
            self.doubled += 1
            self.note(f"{number} of {voice} after {last}")
            return
        if last is not None and number > last + 1:
            self._miss(number - last - 1, f"{number} of {voice} after {last}")
        heard[voice] = number

    def end(self, heard: dict[str, int], voices: Iterable[str]) -> None:
        """Nothing more comes: what was said last in its room is missing to a client that has not heard it."""
        for voice in voices:
            if voice in heard and (gap := self.spoken.get(voice, 0) - heard[voice]) > 0:
                self._miss(gap, f"the last {gap} of {voice}")

    def note(self, what: str) -> None:
        if len(self.notes) < 10:
            self.notes.append(what)

    def _miss(self, count: int, what: str) -> None:
        if self.may_miss:
            self.missed += count
        else:
            self.lost += count
            self.note(f"lost: {what}")

    def told(self) -> dict[str, object]:
        """Without what is of no use to others."""
        return {key: value for key, value in asdict(self).items() if key not in ("spoken", "may_miss")}


def merged(ledgers: Iterable[Ledger], name: str) -> int:
    """A count of all kinds."""
    return sum(getattr(ledger, name) for ledger in ledgers)
