"""`SharedEvents`: the supervisor's part in the events of all hosts. It says what is wanted here, and gives what others want.

Made by `ClusterService`; the control plane uses it. Its gateway carries it: what is wanted stands in the host's key, so that the
others know it at once, and no more when the host is gone. Where nobody listens on any other host, nothing is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from wspulse.actors.mesh.lifecycle import Events
from wspulse.actors.mesh.message import Message

__all__ = ["SharedEvents"]

MOST_PREFIXES_BYTES = 4096
"""In the host's key, which all hosts get every two seconds. With more, everything is wanted."""


class SharedEvents:
    """See the module. `describe()` has the other hosts told anew what is wanted here; `tell` tells the gateway."""

    def __init__(self, describe: Callable[[], None], tell: Callable[[Message], None]) -> None:
        self._describe = describe
        self._tell = tell
        self.wanted_here: tuple[bytes, ...] = ()
        """What the topics of events begin with that somebody subscribes to on this host."""
        self.wanted_elsewhere: tuple[bytes, ...] = ()
        self.changed: Callable[[], None] = _nobody_cares
        """Called when others want something else."""
        self.take: Callable[[Events], None] = _nobody_takes
        """Given what happened on other hosts."""

    def want(self, prefixes: Sequence[bytes]) -> None:
        """This is what somebody subscribes to here."""
        wanted = tuple(prefixes) if sum(map(len, prefixes)) <= MOST_PREFIXES_BYTES else (b"",)
        if wanted != self.wanted_here:
            self.wanted_here = wanted
            self._describe()

    def heed(self, wanted: Iterable[tuple[bytes, ...]]) -> None:
        """This is what each of the other hosts wants."""
        prefixes = tuple(sorted({prefix for each in wanted for prefix in each}))
        if prefixes != self.wanted_elsewhere:
            self.wanted_elsewhere = prefixes
            self.changed()

    def give(self, events: Sequence[tuple[bytes, bytes]], dropped_events: int = 0) -> None:
        """What has happened here; `dropped_events` are missing before it."""
        if self.wanted_elsewhere:
            wanted = [event for event in events if event[0].startswith(self.wanted_elsewhere)]
            if wanted or dropped_events:
                self._tell(Events(wanted, dropped_events))


def _nobody_cares() -> None:
    """There is no control plane."""


def _nobody_takes(_events: Events) -> None:
    """There is no control plane."""
