"""What goes wrong between hosts.

Taken                         an id is another's
Lost                          an entry is no longer what it was
DirectoryUnavailableError     NATS did not say in time
HostError
├── HostGoneError             nobody answers for that host, or it was started anew
├── HostTimeoutError          it did not answer in time
└── HostCallError             it answered that it failed
"""

from __future__ import annotations

from wspulse.supervisor.cluster.hosts.records import Entry

__all__ = [
    "DirectoryUnavailableError",
    "HostCallError",
    "HostError",
    "HostGoneError",
    "HostTimeoutError",
    "Lost",
    "Taken",
]


class Taken(Exception):
    """A live host has this id: `entry`, at `revision`, from which it may be moved."""

    def __init__(self, entry: Entry, revision: int) -> None:
        super().__init__(f"taken by host {entry.host!r}")
        self.entry = entry
        self.revision = revision


class Lost(Exception):
    """The entry changed since that revision. `entry` is what it is now; None where nobody has the id."""

    def __init__(self, entry: Entry | None) -> None:
        super().__init__("nobody has it" if entry is None else f"host {entry.host!r} has it")
        self.entry = entry


class DirectoryUnavailableError(Exception):
    """NATS did not do it in time. What was asked for may have happened; if so, it is undone as soon as NATS answers."""


class HostError(Exception):
    """A question to another host has no answer. `host` is its id."""

    def __init__(self, host: str, text: str) -> None:
        super().__init__(f"host {host!r} {text}")
        self.host = host
        self.text = text


class HostGoneError(HostError):
    """Nobody answers for this host under this life."""

    def __init__(self, host: str) -> None:
        super().__init__(host, "is gone")


class HostTimeoutError(HostError):
    """It did not answer in time. It may still do what it was asked for."""

    def __init__(self, host: str) -> None:
        super().__init__(host, "did not answer in time")


class HostCallError(HostError):
    """It failed to answer. `text` is what went wrong there."""
