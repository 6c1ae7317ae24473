"""`ShardRuntime`: everything of one shard in the process that hosts it, put together, started and stopped in one order.

Created by a worker's entry (`wspulse.supervisor.worker.main`), or by `server.serve()` for one shard inside the current
process. What it consists of does the work: the acceptor, the mailbox, the bus and the links to other shards (`Siblings`), what
messages mean (`Dispatch`), how it ends (`Closing`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from wspulse.actors.accept.acceptor import Acceptor
from wspulse.actors.accept.handover import Handovers
from wspulse.actors.accept.http_app import carried
from wspulse.actors.accept.listener import Listener
from wspulse.actors.accept.origins import reads_cookies
from wspulse.actors.accept.pages import own_pages
from wspulse.actors.accept.proxies.trust import TrustedProxies
from wspulse.actors.bus.cluster.seat import ClusterSeat
from wspulse.actors.bus.contract import Bus
from wspulse.actors.events.measured import measured
from wspulse.actors.journal.slow_handlers import SlowHandlers
from wspulse.actors.limits.places import Full
from wspulse.actors.limits.shared_memory import places_for
from wspulse.actors.mesh.actor import ASK_TIMEOUT_S, ActorRef, LocalRef
from wspulse.actors.mesh.inheritance import Inheritance
from wspulse.actors.mesh.lifecycle import HealthChanged, SlotTable, TableAdopted
from wspulse.actors.mesh.mailbox import Mailbox
from wspulse.actors.mesh.message import Message
from wspulse.actors.mesh.placement import Placement
from wspulse.actors.mesh.placing.former_slots import FormerSlots
from wspulse.actors.mesh.placing.owners import Owners
from wspulse.actors.runtime.closing import Closing
from wspulse.actors.runtime.dispatch import Dispatch
from wspulse.actors.runtime.extension import Extensions
from wspulse.actors.runtime.hooks import Hooks, interrupt
from wspulse.actors.runtime.loop_lag import LoopLag
from wspulse.actors.runtime.movement import Movement
from wspulse.actors.runtime.served import Served
from wspulse.actors.runtime.siblings import Siblings
from wspulse.actors.runtime.statistics import Statistics
from wspulse.actors.runtime.task_set import TaskSet
from wspulse.actors.sessions.asking.answer import decoded
from wspulse.actors.sessions.connections.remote_connection import RemoteConnection
from wspulse.actors.sessions.handlers import Handlers
from wspulse.actors.sessions.patience.handler_timeouts import HandlerTimeouts
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.values.awaitable import result_of
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.health import MEMORY_IS_SHORT, Health

if TYPE_CHECKING:
    from wspulse.actors.cluster.cluster import Cluster
    from wspulse.actors.cluster.contract import Gateway, Seen

__all__ = ["ShardRuntime"]

_NOWHERE: Mapping[int, str] = MappingProxyType({})
"""The mailboxes of a server that is one process."""
_NOBODY = TrustedProxies()
_HANDLERS_SHARE = 0.7
"""Of the time that a worker has to end when another takes its place, until handlers that still run are cancelled."""


class _Stage(NamedTuple):
    """What begins at one point of the start, and what ends at the same point of the stop; each is sync or async, or None."""

    begin: Callable[[], Any] | None
    end: Callable[[], Any] | None


class ShardRuntime:
    """See the module. `shard` is the name that people see, `seat` where other processes reach this one, the same number where it
    is not given; `mailbox_paths` has a path for each seat. `table` says who owns which connection ids; without one it is what the
    number of workers gives. `bus` is (push endpoint, subscribe endpoint); with one shard there is no bus. Without `listeners`
    somebody else brings the connections: an ASGI server. `trust` says whose word counts for where a client is. Where it
    `measures`, handlers, upgrades and pongs are timed, which costs each of them a little. `counts` is the file in which all
    workers count connections, which stays the caller's. `cluster` is there where the server spans several hosts; then there is
    a `bus`, with a gateway at its end."""

    def __init__(
        self,
        server: Served[ShardRuntime],
        *,
        shard: int,
        seat: int | None = None,
        workers: int,
        table: SlotTable | None = None,
        incarnation: int,
        listeners: Sequence[Listener] = (),
        path: str,
        mailbox: socket.socket | None = None,
        mailbox_paths: Mapping[int, str] = _NOWHERE,
        bus: tuple[str, str] | None = None,
        tell_supervisor: Callable[[Message], None] | None = None,
        drain_s: float = 10.0,
        trust: TrustedProxies = _NOBODY,
        measures: bool = False,
        counts: int | None = None,
        cluster: ClusterSeat | None = None,
    ) -> None:
        self._server = server
        self._drain_s = drain_s
        self.workers = workers
        self.placement = Placement(workers)
        if table is not None:
            self.placement.adopt(table.version, table.workers, table.seats)
            self.workers = table.workers
        self.shard = Shard(
            index=shard,
            seat=seat,
            incarnation=incarnation,
            origin=None if cluster is None else cluster.origin,
            options=server.options,
            handlers=Handlers(**server.handlers),
            loop=asyncio.get_running_loop(),
            real_time=monotonic,
        )
        if measures:
            metrics, handlers = self.shard.metrics, self.shard.handlers
            metrics.measure()
            handlers.on_message = measured(handlers.on_message, metrics.histograms)
        self.shard.places = places_for(server.options, self.shard.metrics, self.shard.seat, counts)
        self.encode = self.shard.encode
        """A frame in wire form. Raises what the codec raises."""
        self.codec = server.options.codec
        if tell_supervisor is None:
            # Somebody's own program runs the server, and waits for its loop.
            self.shard.outcome = partial(interrupt, self.shard.loop)
        self.health = Health()
        """Asked by the health check; whoever finds something amiss says it here."""
        self._extensions = Extensions(server._extensions)
        if server._extensions:
            self.shard.resumable = self._extensions.may_resume
        self._siblings = Siblings(
            self.shard, mailbox_paths if mailbox is not None else _NOWHERE, bus, self._extensions, self.health, cluster
        )
        self.up_shards = self._siblings.up_shards
        self._tasks = TaskSet()
        self._former = FormerSlots(self.placement, self.shard.seat)
        self._handovers = Handovers(self.shard, self.placement, self._former, self._siblings.links)
        self._acceptor = Acceptor(
            self.shard,
            self.placement,
            path=path,
            pages={**own_pages(server.options, path), **self._extensions.pages(path)},
            health=self.health,
            connect=server.checked_connect(),
            hand_over=self._handovers.hand_over,
            spawn=self._tasks.spawn,
            trust=trust,
        )
        self._listeners = listeners
        self._http = carried(server.options, self._acceptor) if listeners else None
        self._lag = LoopLag(self.shard.metrics.histograms.of("wspulse_loop_lag_seconds"))
        journal, slow_s = self.shard.journal, server.options.slow_handler
        self._slow_handlers = SlowHandlers(
            self.shard.loop, self.shard.working, slow_s, partial(journal.handler_is_slow, slow_handler_s=slow_s)
        )
        self._handler_timeouts = HandlerTimeouts(
            self.shard.loop,
            self.shard.context,
            self.shard.working,
            server.options.handler_timeout,
            self.shard.cancellations.cancel,
        )
        self._dispatch = Dispatch(
            self.shard,
            siblings=self._siblings,
            statistics=Statistics(self.shard, self._siblings, self._lag, self.health),
            extensions=self._extensions,
            tasks=self._tasks,
            former=self._former,
            adopt=self._adopt,
            is_server_closing=lambda: self.closing.server_closing,
        )
        self.refs: dict[int, ActorRef] = self._siblings.refs
        self.refs[self.shard.seat] = LocalRef(self._dispatch.receive)
        self.owners = Owners(self.placement, self.refs)
        """What is asked by connection id goes through these."""
        self._siblings.seats_changed = self.owners.seats_changed
        self._siblings.link_began = self._tell_adopted_soon
        self.cluster: Cluster | None = None
        self._mailbox: Mailbox | None = None
        if mailbox is not None:
            self._mailbox = Mailbox(
                mailbox, self.shard.seat, incarnation, self._dispatch.receive, self._handovers.take_over
            )
        self.movement: Movement | None = None
        if self._mailbox is not None:
            self.movement = Movement(
                self.shard,
                self.placement,
                self._siblings,
                self._acceptor,
                self,
                self._extensions,
                self._tasks,
                tell_supervisor or (lambda _message: None),
                self._former,
            )
            self._mailbox.moves = self.movement.moving
            self._dispatch.moving = self.movement.hear
        self.closing = Closing(
            self.shard,
            self._acceptor,
            listeners=listeners,
            mailbox=self._mailbox,
            http=self._http,
            tell_supervisor=tell_supervisor,
            drain_s=drain_s,
            watches=(self._lag, self._slow_handlers, self._handler_timeouts),
            tasks=self._tasks,
        )
        names = [*mailbox_paths.values(), *(endpoint.removeprefix("ipc://") for endpoint in bus or ())]
        self._inheritance = Inheritance(
            listeners=[each.sock for each in listeners], folders={str(Path(name).parent) for name in names}
        )
        self._hooks = Hooks(server.start_handlers, server.stop_handlers, server.options.logger, self.shard.pass_on)

    @property
    def bus(self) -> Bus:
        """The room bus, which is there from the start on."""
        return self.shard.bus

    @property
    def connections(self) -> int:
        return len(self.shard.sessions)

    def join_cluster(self, gateway: Gateway, bus: Seen) -> None:
        """Be part of one of several hosts; others never load this. To be called before `start`."""
        from wspulse.actors.cluster.cluster import Cluster

        remote, spawn, moved = partial(RemoteConnection, self), self._tasks.spawn_apart, self._former.owner_of
        cluster = Cluster(self.shard, self.owners, gateway, bus, self._extensions, remote, moved, spawn)
        self.cluster = self._dispatch.cluster = cluster
        self.placement.tag = gateway.tag

    def _stages(self, turn: Callable[[], Awaitable[object]] | None = None) -> list[_Stage]:
        """All that the shard consists of: begun from the first to the last, ended from the last to the first.

        The bus is there before anybody can join a room, and who accepts comes last: on_start has ended by then. At the stop
        on_stop and the last handlers can still call other shards. Where another worker of this name serves until our `turn`, all
        is there by then but that nobody is accepted.
        """
        mailbox, http, listeners, places = self._mailbox, self._http, self._listeners, self.shard.places
        stages = [
            _Stage(None, places.close) if places is not None else None,
            _Stage(self._warn_of_foreign_pages, None),
            _Stage(self._inheritance.begin, self._inheritance.end),
            _Stage(self._siblings.open_bus, self._siblings.close_bus),
            _Stage(partial(self._server.attach, self), None),
            _Stage(partial(self._extensions.open, self), None),
            _Stage(mailbox.open, mailbox.close) if mailbox is not None else None,
            _Stage(self._siblings.open_links, self._siblings.close_links),
            _Stage(None, self._lag.stop),
            _Stage(None, self._slow_handlers.stop),
            _Stage(None, self._handler_timeouts.stop),
            _Stage(None, self._tasks.end),
            _Stage(None, self.owners.close),
            _Stage(None, self._handovers.close),
            # The links that close behind it tell it nothing any more.
            _Stage(None, self._extensions.close),
            _Stage(None, self.shard.abort),
            _Stage(self._hooks.start, self._hooks.stop),
            _Stage(http.start, http.stop) if http is not None else None,
            _Stage(turn, None) if turn is not None else None,
            _Stage(partial(self._lag.tell, self.shard.options.logger), None),
            _Stage(partial(self._acceptor.open, listeners), None) if listeners else None,
            _Stage(None, self.closing.release_closers),
        ]
        return [stage for stage in stages if stage is not None]

    async def start(self, turn: Callable[[], Awaitable[object]] | None = None) -> None:
        """Join the other shards, run on_start, wait for our `turn`, accept. Raises what on_start raises; then `stop` ends what
        was begun."""
        for stage in self._stages(turn):
            if stage.begin is not None:
                await result_of(stage.begin())

    def stop_accepting(self) -> None:
        self._acceptor.close()

    async def drain(self, *, server_closes: bool = True, restarts: bool = False, spread_s: float = 0.0) -> None:
        """See `Closing.drain`."""
        await self._stop_moves()
        if server_closes:
            await self.closing.drain(restarts=restarts, spread_s=spread_s)
        else:
            # The server goes on, and so might handlers: of a session that could not wait for its own, on_disconnect still runs.
            patience_s = self._drain_s * _HANDLERS_SHARE + spread_s
            await self.closing.drain_within(patience_s, server_closes=False, restarts=restarts, spread_s=spread_s)

    async def _stop_moves(self) -> None:
        if self.movement is not None:
            await self.movement.stop()
        if self.cluster is not None:
            await self.cluster.stop()

    async def close(self) -> None:
        """See `Closing.close`."""
        await self.closing.close()

    async def end(self, patience_s: float) -> None:
        """Drain for so long at most, and stop."""
        try:
            await self._stop_moves()
            await self.closing.drain_within(patience_s)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End what `start` began, in reverse. What still runs is given up. A stage that fails, or in which the caller is
        cancelled, keeps no other from ending; the first such error is raised in the end."""
        first: BaseException | None = None
        for stage in reversed(self._stages()):
            if stage.end is not None:
                try:
                    await result_of(stage.end())
                except BaseException as error:
                    first = first or error
        if first is not None:
            raise first

    def _warn_of_foreign_pages(self) -> None:
        options = self.shard.options
        if self.shard.index == 0 and options.check_origin is None and reads_cookies(self._server.checked_connect()):
            options.logger.warning(
                "connect reads cookies and every origin is allowed: another site's page may connect as its visitor; "
                "pass Server(check_origin=allow_origins([...])) or --allow-origin"
            )

    # Messages.

    def handle(self, message: Message) -> None:
        """Take a message of the supervisor."""
        if isinstance(message, HealthChanged):
            (self.health.mend if message.is_well else self.health.fail)(message.reason)
            if message.reason == MEMORY_IS_SHORT:
                self._acceptor.gate = self.shard.places if message.is_well else Full(self.shard.metrics)
        else:
            self._dispatch.handle(message)

    def move_mailbox(self, listener: socket.socket) -> None:
        """Be reached by other processes at another listener."""
        assert self._mailbox is not None
        self._mailbox.move(listener)

    def receive(self, message: Message) -> Any:
        """Take a message to this shard's actor. Returns the result, or a future of it; raises a WspulseError."""
        return self._dispatch.receive(message)

    def decode(self, opcode: int, payload: bytes) -> Frame:
        """The frame in a message. Raises what the codec raises."""
        return decoded(self.shard, opcode, payload)

    async def ask(self, shard: int, message: Message, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Ask a shard by its seat, this one included. Raises ShardUnavailableError and what the shard raises."""
        return await self.refs[shard].ask(message, timeout_s=timeout_s)

    async def ask_owner(self, connection_id: str, message: Message, timeout_s: float | None = ASK_TIMEOUT_S) -> Any:
        """Ask the shard that owns an id, this one included. Raises ShardUnavailableError and what the shard raises."""
        return await self.owners.ask(connection_id, message, timeout_s=timeout_s)

    def tell_owner(self, connection_id: str, message: Message) -> None:
        """Have the shard that owns an id do something, in order with what it is asked; what becomes of it nobody hears."""
        self.owners.tell(connection_id, message)

    def has_died(self, seat: int) -> bool:
        """Whether a process was at that seat and is no more."""
        return self._siblings.has_died(seat)

    # Who owns which ids.

    def _adopt(self, table: SlotTable) -> None:
        losers = self.owners.adopt(table)
        self._former.note_table()
        self.workers = self.placement.shards
        adopted = TableAdopted(self.placement.version, self.shard.seat)
        for seat in losers:
            if (ref := self.refs.get(seat)) is not None:
                # Behind all that went there, and nothing for those slots goes behind it.
                ref.tell(adopted)

    def _tell_adopted_soon(self, seat: int) -> None:
        """Who could not be told since there was no stream, or has lost what it was told with one, is told again, behind what
        waited for the stream."""
        if self.placement.version:
            self.shard.loop.call_soon(self._tell_adopted, seat, context=self.shard.context)

    def _tell_adopted(self, seat: int) -> None:
        if (ref := self.refs.get(seat)) is not None:
            ref.tell(TableAdopted(self.placement.version, self.shard.seat))
