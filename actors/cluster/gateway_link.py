"""`GatewayLink`: a worker's way to its host's gateway, which is a process of its own: the `Gateway` of real hosts.

Made by the worker's entry. It asks as it asks another worker; a gateway that is gone, and comes again, is asked when it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import copy_context
from time import monotonic
from typing import Any

import msgspec

from wspulse.actors.bus.message import unpack
from wspulse.actors.cluster.calls import decode_answer, encode_message
from wspulse.actors.cluster.contract import Claimed, Found, Missed, Taken
from wspulse.actors.cluster.lease import Lease
from wspulse.actors.mesh.link import ShardLink
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import tag_in
from wspulse.actors.mesh.placing.hosts import (
    GATEWAY_SEAT,
    AskHost,
    AskHosts,
    ClaimId,
    Entry,
    FindId,
    MoveId,
    ReachRoom,
    ReleaseId,
    RoomMessages,
)
from wspulse.actors.values.errors import WspulseError

__all__ = ["GatewayLink"]

_MARGIN_S = 1.0
"""For the gateway to say that nobody has answered, before the link says that of the gateway."""

_DIRECTORY_S = 12.0
"""The directory's own deadline is shorter."""

_RELEASED_S = 60.0


class GatewayLink:
    """See the module. `host` is our host's name, `tag` that of the ids that it makes up; `lease` stays the caller's."""

    def __init__(
        self, host: str, path: str, lease: Lease, tag: str = "", hosts: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.host = host
        self.tag = tag
        self._makers = dict(hosts)
        """By tag, the hosts that are alive."""
        self._lease = lease
        self._term = lease.term
        self._releases: set[asyncio.Task[None]] = set()
        self._context = copy_context()
        """In which ids are released: that of a handler would be kept."""
        self._link = ShardLink(GATEWAY_SEAT, path)

    def open(self) -> None:
        self._link.open()

    def close(self) -> None:
        for task in self._releases:
            task.cancel()
        self._link.close()

    def living(self, hosts: Iterable[tuple[str, str]]) -> None:
        """These hosts are alive, each with its tag."""
        self._makers = dict(hosts)

    def maker_of(self, connection_id: str) -> str | None:
        tag = tag_in(connection_id)
        return None if tag is None else self._makers.get(tag)

    def is_alive(self, host: str) -> bool:
        return host in self._makers.values()

    async def claim(self, connection_id: str, key: tuple[int, int]) -> Claimed | Taken:
        entry = await self._ask(ClaimId(connection_id, key))
        return _claimed(msgspec.convert(entry, Entry))

    async def move(self, connection_id: str, key: tuple[int, int], revision: int) -> Claimed | Taken | None:
        entry = await self._ask(MoveId(connection_id, key, revision))
        return None if entry is None else _claimed(msgspec.convert(entry, Entry))

    def release(self, connection_id: str, revision: int) -> None:
        releasing = self._release(connection_id, revision)
        task = asyncio.get_running_loop().create_task(releasing, context=self._context.copy())
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def find(self, connection_id: str) -> Found | None:
        entry = await self._ask(FindId(connection_id))
        if entry is None:
            return None
        found = msgspec.convert(entry, Entry)
        return Found(found.host, found.key, found.revision)

    async def ask(self, host: str, connection_id: str, message: Message, timeout_s: float | None) -> Any:
        ask = AskHost(
            host, connection_id, encode_message(message), monotonic() + timeout_s if timeout_s is not None else 0.0
        )
        return decode_answer(await self._ask(ask, None if timeout_s is None else timeout_s + _MARGIN_S))

    async def ask_host(self, host: str, message: Message, timeout_s: float) -> list[Any]:
        ask = AskHost(host, "", encode_message(message), monotonic() + timeout_s)
        answers = msgspec.msgpack.decode(await self._ask(ask, timeout_s + _MARGIN_S), type=list[bytes])
        return [answer for _, answer in _decoded((host, each) for each in answers)]

    async def ask_all(self, message: Message, timeout_s: float) -> list[Any]:
        return [answer for _, answer in await self.ask_hosts(message, timeout_s)]

    async def ask_hosts(self, message: Message, timeout_s: float) -> list[tuple[str, Any]]:
        """`ask_all`, with the name of each shard's host."""
        return _decoded(await self._ask(AskHosts(encode_message(message), timeout_s), timeout_s + _MARGIN_S))

    async def frames(self, room_id: str, after: int, upto: int) -> list[Missed]:
        messages = map(unpack, await self._ask(RoomMessages(room_id, after, upto)))
        return [Missed(message.frames, message.excluded) for message in messages]

    async def reach(self, room_id: str, sequence: int) -> None:
        """See `ReachRoom`."""
        await self._ask(ReachRoom(room_id, sequence))

    def is_held(self) -> bool:
        return self._lease.is_held() and not self.is_new_term

    @property
    def is_new_term(self) -> bool:
        """Whether the lease was over since `begin_term`: then others may have what is held here, and it is to be claimed anew.
        Not so in the first term that is seen: before it nothing could be claimed."""
        if not self._term:
            self.begin_term()
        return self._lease.term != self._term

    def begin_term(self) -> None:
        """All that is held here was claimed in the present term."""
        self._term = self._lease.term

    async def _ask(self, message: Message, timeout_s: float | None = _DIRECTORY_S) -> Any:
        return await self._link.ask(message, timeout_s=timeout_s)

    async def _release(self, connection_id: str, revision: int) -> None:
        try:
            await self._ask(ReleaseId(connection_id, revision), _RELEASED_S)
        except WspulseError:
            pass  # an entry that stays is found to be nobody's by whoever asks its owner


def _decoded(answers: Iterable[tuple[str, bytes]]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for host, answer in answers:
        try:
            found.append((host, decode_answer(answer)))
        except WspulseError:
            pass  # that shard is left out, as one is that does not answer
    return found


def _claimed(entry: Entry) -> Claimed | Taken:
    return Claimed(entry.revision) if entry.is_claimed else Taken(entry.host, entry.key, entry.revision)
