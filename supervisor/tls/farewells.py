"""`Farewells`: clients of which nothing more is wanted, each for as long as it takes what is left for it.

Made by the terminator, which looks at them every second. However slow a client is, it gets the end of its answer; one that takes
nothing for a while is cut off, whether it reads nothing or has gone without a word. No I/O, no clock.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Farewells", "Leaving"]

PATIENCE_S = 10.0
"""Longer than any pause that a network makes which a client survives."""


class Leaving(Protocol):
    """A client that leaves."""

    def taken(self) -> object:
        """Another value whenever it has taken something."""

    def cut_off(self) -> None:
        """End the connection, whatever is left."""


class Farewells:
    """See the module."""

    def __init__(self) -> None:
        self._clients: dict[Leaving, tuple[object, float] | None] = {}
        """What each had taken when it was last seen to take something, and when that was; None before the first look."""

    def begin(self, client: Leaving) -> None:
        """It is to take what is left, and leave. Said again, it changes nothing."""
        self._clients.setdefault(client, None)

    def discard(self, client: Leaving) -> None:
        """It is gone."""
        self._clients.pop(client, None)

    def look(self, now: float) -> None:
        for client, seen in list(self._clients.items()):
            taken = client.taken()
            if seen is None or seen[0] != taken:
                self._clients[client] = taken, now
            elif now - seen[1] >= PATIENCE_S:
                self.discard(client)
                client.cut_off()
