"""`Gateway`: what joins the hosts, as their shards see it: the directory of ids, the ways to other hosts, and the host's lease.

The directory has an entry for each id that a host has claimed: the host, the birth key of the session for which it was claimed,
and a revision. It changes by compare-and-swap alone, so that of two hosts that want an id one has it. An entry whose host is not
alive counts as absent. Where the directory or a host does not answer, calls raise ShardUnavailableError; whether what they asked
for was done is then unknown.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from wspulse.actors.mesh.message import Message

__all__ = ["Claimed", "Found", "Gateway", "Missed", "Seen", "Taken"]


class Claimed(NamedTuple):
    """The id is ours, by the entry of this revision."""

    revision: int


class Taken(NamedTuple):
    """The id is somebody's; it may be our own host's."""

    host: str
    key: tuple[int, int]
    revision: int


class Found(NamedTuple):
    """Where an id is."""

    host: str
    key: tuple[int, int]
    revision: int


class Missed(NamedTuple):
    """A message of a room: its frames in wire form, and the connections that do not get them."""

    frames: list[bytes]
    excluded: frozenset[str] = frozenset()


class Gateway(Protocol):
    """See the module. Used by one shard, on its loop. Waits have deadlines: it never hangs."""

    host: str
    """Our own host's name in the directory."""
    tag: str
    """12 hexadecimal digits with which the ids begin that our host makes up; no other host has the same."""

    def maker_of(self, connection_id: str) -> str | None:
        """The living host that has made up an id, our own perhaps; None for all other ids. While its session has never left that
        host it needs no entry."""

    def is_alive(self, host: str) -> bool:
        """Whether that host is one of the cluster's, as far as ours knows."""

    async def claim(self, connection_id: str, key: tuple[int, int]) -> Claimed | Taken:
        """Make the entry of an id that has none."""

    async def move(self, connection_id: str, key: tuple[int, int], revision: int) -> Claimed | Taken | None:
        """Make the entry of this revision ours. None where there is none any more."""

    def release(self, connection_id: str, revision: int) -> None:
        """Remove our entry, if it still has this revision. Claims that follow come behind it."""

    async def find(self, connection_id: str) -> Found | None:
        """The entry of an id."""

    async def ask(self, host: str, connection_id: str, message: Message, timeout_s: float | None) -> Any:
        """Ask the shard that owns the id on another host; without a deadline where `timeout_s` is None. What one shard asks about
        one id arrives there in the order of the calls. Raises what that shard raises, and ShardUnavailableError where the host
        does not answer or is gone."""

    async def ask_host(self, host: str, message: Message, timeout_s: float) -> list[Any]:
        """Ask every shard of another host; one that does not answer is left out. Raises ShardUnavailableError as `ask`."""

    async def ask_all(self, message: Message, timeout_s: float) -> list[Any]:
        """Ask every shard of every other host that is alive; one that does not respond is left out."""

    async def frames(self, room_id: str, after: int, upto: int) -> list[Missed]:
        """The messages of a room whose sequences are greater than `after` and at most `upto`, as far as they are kept, in
        order."""

    def is_held(self) -> bool:
        """Whether our host's lease lasts: only then may it decide about ids."""


class Seen(Protocol):
    """The room bus between hosts."""

    def seen(self, room_id: str) -> int:
        """The sequence of a joined room's last message that was delivered here; before the first, where that of its partition
        stood when it was joined."""

    async def reach(self, room_id: str, sequence: int) -> None:
        """Return when all messages of a joined room up to that sequence have been delivered here, of which `seen` tells then. Of
        a room in which nothing is said it could not be waited for otherwise. Raises ShardUnavailableError."""
