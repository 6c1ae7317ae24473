"""`Identification`: how a newcomer gets its room and its id: the application is asked, and its answer checked (contract §2).

One per acceptor, and one for each request under an ASGI server. It decides nothing about sessions, and reads no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import copy_context
from typing import Any, NamedTuple, Protocol

import msgspec

from wspulse.actors.accept.accept import Accept
from wspulse.actors.journal.journal import Journal
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.sessions.exact.token import id_in
from wspulse.actors.values.awaitable import is_awaitable
from wspulse.actors.values.errors import ConnectRejected
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.exact import RESERVED, SUBPROTOCOL, Claim
from wspulse.actors.values.text.ids import MAX_ID_BYTES
from wspulse.actors.wire.answer import HTTPAnswer, rejection
from wspulse.actors.wire.handshake import choose_subprotocol

__all__ = ["Asking", "Identification", "Identity", "checked_identity"]


class Identity(NamedTuple):
    """Who connects, to which room, and what the 101 says to it beside."""

    room_id: str
    connection_id: str
    state: dict[str, Any] | None
    headers: tuple[tuple[str, str], ...] = ()
    subprotocol: str | None = None
    """The application's choice; None leaves it to the server's option."""
    resume: bool = True
    rooms: tuple[str, ...] = ()
    """Beside the first one, each once."""
    claim: Claim | None = None
    """What the client claims, where an exact session is chosen for it."""
    is_made_up: bool = False
    """Whether the application has left the id to the server."""


Asking = Generator[Awaitable[Any], Any, Identity | HTTPAnswer]
"""Gives what is to be awaited, wants what that returned or raised, and returns the identity, or the refusal."""


class AskingShard(Protocol):
    """What is needed of the shard."""

    seat: int
    options: ServerOptions
    closing: bool
    journal: Journal
    has_exact_sessions: bool
    """Whether its codec can tell the protocol's own frames from the application's."""

    def pass_on(self, error: BaseException) -> None:
        """Tell whoever runs the server what the application raised, if that is no Exception."""


class Identification:
    """See the module. `connect` is the application's."""

    def __init__(self, shard: AskingShard, placement: Placement, connect: Callable[[Request], Any]) -> None:
        self._shard = shard
        self._placement = placement
        self._connect = connect

    def asking(self, request: Request, offered: Sequence[str] = (), claim: Claim | None = None) -> Asking:
        """Ask `check_origin`, then `connect`, and choose one of the offered subprotocols. A synchronous application is through
        with the first step, which spares a task."""
        shard = self._shard
        check_origin = shard.options.check_origin
        # What they set in `contextvars` concerns no other request; those that are awaited have a task's.
        context = copy_context()
        waiting = False
        try:
            if check_origin is not None:
                allowed = context.run(check_origin, request)
                if is_awaitable(allowed):
                    waiting = True
                    allowed = yield allowed
                    waiting = False
                if not allowed:
                    return rejection(403, "origin not allowed")
            answer = context.run(self._connect, request)
            if is_awaitable(answer):
                waiting = True
                answer = yield answer
            identity = checked_identity(answer)
            if identity.subprotocol is not None:
                self._check_choice(identity.subprotocol, offered)
            if identity.rooms and len(identity.rooms) > shard.options.max_rooms_per_connection:
                raise ValueError(
                    f"wspulse: Accept: {len(identity.rooms)} rooms besides the first one; at most "
                    f"{shard.options.max_rooms_per_connection} are allowed"
                )
        except ConnectRejected as error:
            return rejection(error.status, error.text, error.headers)
        except BaseException as error:
            if waiting and isinstance(error, GeneratorExit):
                # Nobody wants the answer any more: this is the end of the asking, and none of the application's doing.
                raise
            shard.journal.connect_raised(error, request)
            shard.pass_on(error)
            return rejection(500, "internal server error")
        if shard.closing:
            return rejection(503, "server is shutting down")
        if offered:
            identity = self._chosen(identity, offered, claim)
        if not identity.connection_id:
            identity = identity._replace(connection_id=self._placement.new_id(shard.seat), is_made_up=True)
        return identity

    def _check_choice(self, subprotocol: str, offered: Sequence[str]) -> None:
        if subprotocol not in offered:
            raise ValueError(f"wspulse: Accept: the client did not offer the subprotocol {subprotocol}")
        if subprotocol == SUBPROTOCOL:
            if not self._shard.has_exact_sessions:
                raise ValueError(f"wspulse: Accept: {subprotocol} needs the JSON or the msgpack codec")
        elif subprotocol.startswith(RESERVED):
            raise ValueError(f"wspulse: Accept: {subprotocol} is a reserved name that this server does not support")

    def _chosen(self, identity: Identity, offered: Sequence[str], claim: Claim | None) -> Identity:
        """With the subprotocol, where the application has chosen none; and with the claim of a client that comes back."""
        if identity.subprotocol is None:
            ours = self._shard.options.subprotocols
            chosen = choose_subprotocol((SUBPROTOCOL, *ours) if self._shard.has_exact_sessions else ours, offered)
            identity = identity._replace(subprotocol=chosen)
        if claim is None or identity.subprotocol != SUBPROTOCOL:
            return identity
        if identity.connection_id:
            return identity._replace(claim=claim)
        claimed_id = id_in(claim.token)
        if claimed_id is None:
            return identity
        # The token says whose the session is. Where it is wrong its client is a newcomer like any other, with an id of the same
        # shard.
        new_id = self._placement.new_id(self._placement.final_owner(claimed_id))
        return identity._replace(connection_id=new_id, claim=claim._replace(is_nameless=True))

    async def identify(
        self, request: Request, offered: Sequence[str] = (), claim: Claim | None = None
    ) -> Identity | HTTPAnswer:
        """Ask to the end. Raises CancelledError where the task is cancelled meanwhile, and nothing else."""
        asking = self.asking(request, offered, claim)
        try:
            awaitable = next(asking)
        except StopIteration as end:
            return _result(end)
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        return await self.go_on(asking, awaitable, lambda: task.cancelling() > cancels)

    async def go_on(
        self, asking: Asking, awaitable: Awaitable[Any], is_over: Callable[[], bool]
    ) -> Identity | HTTPAnswer:
        """Await what the asking gave, until it returns. Raises CancelledError as soon as `is_over`: nobody wants the answer any
        more, and the application, which may have caught a cancellation of its own, is asked nothing else."""
        try:
            while True:
                try:
                    answer = await awaitable
                except GeneratorExit:
                    raise
                except BaseException as error:
                    if is_over():
                        raise asyncio.CancelledError from None
                    awaitable = asking.throw(error)
                else:
                    if is_over():
                        raise asyncio.CancelledError
                    awaitable = asking.send(answer)
        except StopIteration as end:
            return _result(end)


def _result(end: StopIteration) -> Identity | HTTPAnswer:
    result: Identity | HTTPAnswer = end.value
    return result


def checked_identity(answer: Any) -> Identity:
    """What `connect` returned. Raises TypeError or ValueError for anything else than it may return."""
    state = None
    if isinstance(answer, Accept):
        room_id, connection_id, state = answer.room_id, answer.connection_id, answer.state
    elif isinstance(answer, tuple) and len(answer) == 2:
        room_id, connection_id = answer
    elif isinstance(answer, tuple) and len(answer) == 3:
        room_id, connection_id, state = answer
    else:
        raise TypeError(
            "wspulse: connect must return (room_id, connection_id), (room_id, connection_id, state) or Accept(...), "
            f"not {answer!r}"
        )
    _check_id("room id", room_id)
    _check_id("connection id", connection_id)
    if state is not None:
        if not isinstance(state, dict):
            raise TypeError(f"wspulse: connect returned a state that is not a dict but {type(state).__name__}")
        # It may travel to another worker: what does not survive that is refused everywhere alike.
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=dict[str, Any])
    if isinstance(answer, Accept):
        return Identity(
            room_id, connection_id, state, answer.headers, answer.subprotocol, answer.resume, _further(answer)
        )
    return Identity(room_id, connection_id, state)


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"wspulse: connect returned a {name} that is not a str but {type(value).__name__}")
    if len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"wspulse: connect returned a {name} of more than {MAX_ID_BYTES} bytes in UTF-8")


def _further(answer: Accept) -> tuple[str, ...]:
    """The rooms beside the first one, each once."""
    return tuple(room_id for room_id in dict.fromkeys(answer.rooms) if room_id != answer.room_id)
