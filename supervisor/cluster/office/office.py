"""`Office`: what a host's workers ask its gateway, and what other hosts ask of those workers.

One per gateway, made when the host has joined the cluster. It decides nothing about sessions: the shards do.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from time import monotonic
from typing import Any, Protocol

import msgspec

from wspulse.actors.bus.cluster.buckets import bucket_of
from wspulse.actors.bus.message import room_topic
from wspulse.actors.cluster.calls import decode_message, encode_answer, encode_error
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placing.hosts import (
    GATEWAY_SEAT,
    AskHost,
    AskHosts,
    ClaimId,
    Entry,
    FindId,
    HostCall,
    MoveId,
    ReachRoom,
    ReleaseId,
    RoomMessages,
)
from wspulse.actors.values.errors import ShardUnavailableError, WspulseError
from wspulse.supervisor.cluster.feed.reading import MissingError
from wspulse.supervisor.cluster.hosts.calls import HostCalls
from wspulse.supervisor.cluster.hosts.directory import Directory
from wspulse.supervisor.cluster.hosts.errors import (
    DirectoryUnavailableError,
    HostError,
    HostTimeoutError,
    Lost,
    Taken,
)
from wspulse.supervisor.cluster.hosts.records import Entry as DirectoryEntry
from wspulse.supervisor.cluster.hosts.records import HostInfo
from wspulse.supervisor.control.shard_links import ShardLinks

__all__ = ["Office", "Stored"]

_LONG_S = 3600.0
"""A call without a deadline is made anew so often: what it waits for goes on there."""

_SHARE_OF_SHARDS = 0.8
"""Of the time for an answer of all shards of a host; the rest is for its way."""

_logger = logging.getLogger("wspulse.cluster")


class Stored(Protocol):
    """The streams of rooms' messages."""

    async def fetch(self, bucket: int, after: int, upto: int) -> list[tuple[int, bytes]]: ...
    async def reach(self, bucket: int, sequence: int) -> None: ...


class Office:
    """See the module. `mailbox` is where workers ask; `shards` are the ways to them, which stay the caller's."""

    def __init__(
        self,
        me: HostInfo,
        mailbox: socket.socket,
        directory: Directory,
        calls: HostCalls,
        hosts: Mapping[str, HostInfo],
        shards: ShardLinks,
        stored: Stored,
        life: int,
    ) -> None:
        self._me = me
        self._directory = directory
        self._calls = calls
        self._hosts = hosts
        self._shards = shards
        self._stored = stored
        self._tasks: set[asyncio.Task[Any]] = set()
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        """By id, the last change of its entry that is on its way: the next comes behind it."""
        self._mailbox = Mailbox(mailbox, GATEWAY_SEAT, life, self._receive, _no_upgrades)

    def open(self) -> None:
        self._mailbox.open()

    async def close(self) -> None:
        """Whoever waits is not answered."""
        self._mailbox.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def answer(self, payload: bytes, left_s: float) -> bytes:
        """What another host's gateway asks, which waits for so long: the answer of the shard that owns an id, or those of all
        shards as a list."""
        call = msgspec.msgpack.decode(payload, type=HostCall)
        timeout_s = ASK_TIMEOUT_S if call.timeout_s is None else min(call.timeout_s, left_s)
        message = decode_message(call.message)
        if call.connection_id is None:
            # So that what the others answer gets there in time where one of them is stopped.
            found = await self._shards.ask_all(message, timeout_s=timeout_s * _SHARE_OF_SHARDS)
            answers = [
                encode_error(each) if isinstance(each, WspulseError) else encode_answer(each) for each in found.values()
            ]
            return msgspec.msgpack.encode(answers)
        try:
            return encode_answer(
                await self._shards.ask_owner(
                    call.connection_id, message, timeout_s=None if call.timeout_s is None else timeout_s
                )
            )
        except WspulseError as error:
            return encode_error(error)

    # What workers ask.

    def _receive(self, message: Message) -> Any:
        match message:
            case ClaimId():
                return self._in_turn(message.connection_id, partial(self._claim, message))
            case MoveId():
                return self._in_turn(message.connection_id, partial(self._move, message))
            case ReleaseId():
                return self._in_turn(
                    message.connection_id, partial(self._directory.release, message.connection_id, message.revision)
                )
            case FindId():
                return self._spawn(self._find(message.connection_id))
            case AskHost():
                return self._spawn(self._ask(message))
            case AskHosts():
                return self._spawn(self._ask_all(message))
            case ReachRoom():
                return self._spawn(self._reach(message))
            case RoomMessages():
                return self._spawn(self._messages(message))
            case _:
                _logger.error(
                    "a message arrived that no gateway handles", extra={"message_type": type(message).__name__}
                )
                return None

    async def _claim(self, message: ClaimId) -> Entry:
        return await self._entry(message.connection_id, message.key, self._directory.claim)

    async def _move(self, message: MoveId) -> Entry | None:
        async def move(connection_id: str, entry: DirectoryEntry) -> int:
            return await self._directory.move(connection_id, entry, message.revision)

        try:
            return await self._entry(message.connection_id, message.key, move)
        except Lost:
            return await self._find(message.connection_id)

    async def _entry(
        self,
        connection_id: str,
        key: tuple[int, int],
        change: Callable[[str, DirectoryEntry], Awaitable[int]],
    ) -> Entry:
        me = self._me
        try:
            revision = await change(connection_id, DirectoryEntry(me.id, me.life, *key))
        except Taken as taken:
            entry = taken.entry
            return Entry(False, entry.host, (entry.origin, entry.serial), taken.revision)
        except DirectoryUnavailableError as error:
            raise ShardUnavailableError(str(error)) from None
        return Entry(True, me.id, key, revision)

    async def _find(self, connection_id: str) -> Entry | None:
        try:
            found = await self._directory.find(connection_id)
        except DirectoryUnavailableError as error:
            raise ShardUnavailableError(str(error)) from None
        if found is None:
            return None
        entry, revision = found
        return Entry(False, entry.host, (entry.origin, entry.serial), revision)

    async def _ask(self, message: AskHost) -> bytes:
        info = self._hosts.get(message.host)
        if info is None:
            raise ShardUnavailableError(f"host {message.host!r} is gone")
        left_s = message.deadline - monotonic() if message.deadline else None
        if left_s is not None and left_s <= 0:
            raise ShardUnavailableError("the gateway was not asked in time")
        payload = msgspec.msgpack.encode(HostCall(message.connection_id or None, message.message, left_s))
        while True:
            try:
                timeout_s = _LONG_S if left_s is None else left_s
                return await self._calls.ask(info.id, info.life, payload, timeout_s=timeout_s)
            except HostTimeoutError as error:
                if left_s is not None:
                    raise ShardUnavailableError(str(error)) from None
            except (HostError, ValueError) as error:
                raise ShardUnavailableError(str(error)) from None

    async def _ask_all(self, message: AskHosts) -> list[tuple[str, bytes]]:
        payload = msgspec.msgpack.encode(HostCall(None, message.message, message.timeout_s))
        answers = await self._calls.ask_all(payload, timeout_s=message.timeout_s)
        return [
            (host, each)
            for host, answer in answers.items()
            for each in msgspec.msgpack.decode(answer, type=list[bytes])
        ]

    async def _reach(self, message: ReachRoom) -> None:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                await self._stored.reach(bucket_of(room_topic(message.room_id)), message.sequence)
        except TimeoutError:
            raise ShardUnavailableError("the streams do not answer") from None

    async def _messages(self, message: RoomMessages) -> list[bytes]:
        topic = room_topic(message.room_id)
        bucket, after = bucket_of(topic), message.after
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                while True:
                    try:
                        found = await self._stored.fetch(bucket, after, message.upto)
                        break
                    except MissingError as error:
                        _logger.warning("messages of a room are not kept any more", extra={"room": message.room_id})
                        after = error.first - 1
        except TimeoutError:
            raise ShardUnavailableError("the streams do not answer") from None
        return [data for _, data in found if data.startswith(topic)]

    def _in_turn(self, connection_id: str, change: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        """Changes of one entry come in the order in which they were asked for."""
        before = self._under_way.get(connection_id)
        task = self._under_way[connection_id] = self._spawn(_behind(before, change))

        def done(_task: object) -> None:
            if self._under_way.get(connection_id) is task:
                del self._under_way[connection_id]

        task.add_done_callback(done)
        return task

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _behind(before: asyncio.Task[Any] | None, change: Callable[[], Awaitable[Any]]) -> Any:
    if before is not None:
        await asyncio.wait([before])
    return await change()


def _no_upgrades(_upgrade: object, _fd: int) -> None:
    """Nobody brings any: the gateway has no sessions."""
