"""`Elsewhere`: where an id is that no process of this host has, and calls to the sessions of other hosts.

One per shard. `Owners` asks it behind its own host's answer, so that what is asked about one id keeps its order wherever the
session is, and goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

import msgspec

from wspulse.actors.cluster.contract import Gateway
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.message import (
    ConnectionList,
    ConnectionRecord,
    JoinRoom,
    ListConnections,
    Message,
)
from wspulse.actors.mesh.placing.owners import Askable
from wspulse.actors.mesh.placing.yields import JoinRoomWithin
from wspulse.actors.values.errors import ConnectionNotFoundError

__all__ = ["Elsewhere"]

_MOST_TRIES = 8
"""A session that goes from host to host faster than it is asked is asked no more."""


class Elsewhere:
    """See the module."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._hosts: dict[str, _Host] = {}

    async def way_to(self, connection_id: str, tried: Sequence[Askable | None]) -> Askable | None:
        """See `mesh.placing.owners`. Who did not have it may have it a moment later, and is asked twice in succession at most."""
        gateway = self._gateway
        maker = gateway.maker_of(connection_id)
        if maker is not None and maker != gateway.host and self._way_to_host(maker) not in tried:
            # It needs no entry there.
            return self._way_to_host(maker)
        found = await gateway.find(connection_id)
        if found is None:
            raise ConnectionNotFoundError(connection_id)
        way = None if found.host == gateway.host else self._way_to_host(found.host)
        if len(tried) >= _MOST_TRIES or list(tried[-2:]) == [way, way]:
            raise ConnectionNotFoundError(connection_id)
        return way

    def _way_to_host(self, name: str) -> Askable:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(self._gateway, name)
        return host

    async def list_sessions(self, message: ListConnections) -> list[ConnectionRecord]:
        """The sessions of all other hosts, each once."""
        found: dict[tuple[int, int], ConnectionRecord] = {}
        for answer in await self._gateway.ask_all(message, ASK_TIMEOUT_S):
            for record in msgspec.convert(answer, ConnectionList).records:
                found[record.incarnation, record.serial] = record
        return list(found.values())


class _Host:
    """Another host: what is asked about an id is asked of the shard that owns it there."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self._gateway = gateway
        self._name = name

    async def ask(self, message: Message, *, timeout_s: float | None) -> Any:
        connection_id: str = message.connection_id  # type: ignore[union-attr]
        if isinstance(message, JoinRoom):
            # No two hosts have the same clock.
            left_s = message.deadline - monotonic()
            message = JoinRoomWithin(connection_id, message.room_id, left_s, message.key)
        return await self._gateway.ask(self._name, connection_id, message, timeout_s)
