"""`MovingWorld`: several processes of one server with a simulated outside, between which sessions move.

As a `World`, whose only shard it has several of; clients, sockets, the application and the model are those of one server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from random import Random
from typing import Any

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.checks import check_idle, check_newcomers, check_nothing_left
from tests.support.simulation.model.ends import check_counted
from tests.support.simulation.model.moves import MovingModel
from tests.support.simulation.moves.patches import Unconnected
from tests.support.simulation.outside.client import SimClient
from tests.support.simulation.outside.compression import compressing_peers
from tests.support.simulation.outside.peer import SimPeer
from tests.support.simulation.outside.places import check_places, check_places_at_rest
from tests.support.simulation.outside.processes.app import MovingApp
from tests.support.simulation.outside.processes.descriptors import Descriptors, SimDescriptor
from tests.support.simulation.outside.processes.forwarder import SimForwarder
from tests.support.simulation.outside.processes.network import SimNetwork
from tests.support.simulation.outside.processes.process import SimProcess
from tests.support.simulation.outside.processes.stream import SimStream, connected
from tests.support.simulation.outside.processes.supervisor import SimSupervisor
from tests.support.simulation.outside.small import logger
from tests.support.simulation.world import World
from wspulse.actors.mesh.message import Hello
from wspulse.actors.mesh.placement import SLOTS, Placement
from wspulse.actors.sessions.exact.claims import id_of_owner
from wspulse.actors.sessions.exact.token import id_in
from wspulse.actors.transport.compression.choice import new_transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.errors import InTransitError
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.wire.encoder import wire_encoder

__all__ = ["MovingWorld"]

_MOST_TURNS_AT_THE_END = 20_000
_MOST_HOPS = 2_000
_MOST_STALLED_S = 4.0
_HOPS_AT_ONCE = 20
_SLOW_HOPS = 8
"""So many in no time; then each takes some, as it does in a network."""


class MovingWorld(World):
    """See the module. It has processes once it has `begun`, in the running loop."""

    model: MovingModel
    app: MovingApp

    def __init__(
        self,
        seed: int,
        options: ServerOptions,
        callbacks: frozenset[str],
        goodbyes: frozenset[str],
        leave_delay_s: float,
    ) -> None:
        # Not as a world of one shard, of which it has several.
        self.loop = loop = SimLoop(seed)  # type: ignore[abstract]
        self.options = options
        self.model = MovingModel(loop, options, callbacks, goodbyes)
        self.app = MovingApp(self.model, self)
        self.random = Random(seed ^ 0x5EA7)
        self.encode = wire_encoder(options.codec)
        self.ack_frames = 1 + seed % 3
        self.compresses = compressing_peers(seed)
        self.leave_delay_s = leave_delay_s
        self.network = SimNetwork(seed)
        self.forwarder = SimForwarder(self.model, self.network, self.random.random)
        self.bus = self.forwarder  # type: ignore[assignment]
        self.app.bus = self.forwarder  # type: ignore[assignment]
        self.descriptors = Descriptors(self.model)
        self.supervisor = SimSupervisor(self)
        self.processes: list[SimProcess] = []
        self.streams: list[SimStream] = []
        self.clients: list[SimClient] = []
        self.peers: list[SimPeer] = []
        self.all_peers: list[SimPeer] = []
        self._incarnations = 0
        self.seats_used = 0
        self._drawn_ids: dict[int, int] = {}
        self._in_transit: dict[SimPeer, SimProcess] = {}
        """Newcomers whose id is between two processes, and which of them has their sockets."""
        self._every: list[SimProcess] = []
        self.has_killed = False
        self._jumped_at = self.late_until = 0.0
        logger.model = self.model

    def begin(self, seats: int, owners_of_ids: dict[str, int]) -> None:
        for seat in range(seats):
            self.open(seat)
        self.shard = self.processes[0].shard
        slot_of = self.processes[0].slot_of
        for connection_id, seat in owners_of_ids.items():
            self.supervisor.owners[slot_of(connection_id)] = seat
        self.supervisor.tell_table()
        while self.network.busy:
            self.network.step()

    # Processes.

    def open(self, seat: int) -> SimProcess:
        """A process starts at a free seat, and all know of it."""
        self._incarnations += 1
        self.seats_used = max(self.seats_used, seat + 1)
        process = SimProcess(self, seat, self._incarnations, self.leave_delay_s)
        for other in self.processes:
            other.knows(process)
            process.knows(other)
        self.processes.append(process)
        self._every.append(process)
        self.supervisor.tell_first(process)
        return process

    def at(self, seat: int | None) -> SimProcess | None:
        return next((process for process in self.processes if process.seat == seat), None)

    def kill(self, process: SimProcess) -> None:
        """It dies, with all that it has."""
        if process not in self.processes:
            return
        self.has_killed = True
        self.processes.remove(process)
        self.model.died(process)
        process.dies()
        self.app.died(process)
        for peer in self.peers:
            socket = peer.socket
            if socket.process is process and not socket.lost:
                if peer.close_written is None:
                    peer.expected_close = None
                socket.lost = socket.closing = True
                self.descriptors.release(peer)
        for peer in [peer for peer, at in self._in_transit.items() if at is process]:
            del self._in_transit[peer]
            self.descriptors.release(peer)
        self.descriptors.died(process)
        self._close_streams(process)
        self._gone(process)

    async def end_process(self, process: SimProcess) -> None:
        """It has no session any more: when the last callback has run, and the last socket is gone, it ends."""
        await process.shard.quiet()
        if process not in self.processes:
            return
        await asyncio.sleep(0)
        self.processes.remove(process)
        check_nothing_left_of(self.model, process)
        process.ends()
        self._close_streams(process)
        if any(holder is process for holder, _ in self.descriptors.held.values()):
            self.model.fail(f"{process}: has descriptors at its end")
        self.descriptors.died(process)
        self._gone(process)

    def _close_streams(self, process: SimProcess) -> None:
        for stream in [stream for stream in self.streams if stream.process is process]:
            self.streams.remove(stream)
            if not stream.ended:
                stream.died()

    def _gone(self, process: SimProcess) -> None:
        for other in self.processes:
            other.forgets(process)
        self.supervisor.died(process)

    # Streams on which sessions move.

    def connect_stream(self, sock: Unconnected, take: Any, ended: Any) -> SimStream:
        """A source connects to a mailbox."""
        plan = self.supervisor.plan
        assert plan is not None
        assert sock.to is not None
        target = sock.to
        stream, other = connected(self.network, plan.source, target, self.descriptors)
        stream.is_slow = self.random.random() < 0.3
        stream.take, stream.on_end = lambda envelope, _fd: take(envelope, None), ended
        other.take = lambda envelope, fd: target.moving.take(other, envelope, fd)  # type: ignore[arg-type]
        other.on_end = lambda: target.moving.stream_ended(other)  # type: ignore[arg-type]
        self.streams += [stream, other]
        other.send(Hello(target.seat, target.incarnation))
        return stream

    # Peers.

    def _arrive(self, peer: SimPeer, upgrade: Upgrade, ahead: bytes) -> None:
        """Some process accepts it, and finds out whose it is."""
        socket = peer.socket
        socket.lost = socket.closing = True  # nobody reads it meanwhile
        socket.reading = False
        accepting = [process for process in self.processes if not process.is_leaving] or self.processes
        claim = upgrade.claim
        if claim is not None and claim.is_nameless and (claimed_id := id_in(claim.token)) is not None:
            # As the acceptor draws it: of the same process, which may give up half of its slots.
            slot = self.processes[0].slot_of(claimed_id)
            number = self._drawn_ids[slot] = self._drawn_ids.get(slot, -1) + 1
            peer.connection_id = upgrade.connection_id = _ids_of_slots()[slot][number]
        process = accepting[int(self.random.random() * len(accepting))]
        self._route(process, peer, upgrade, ahead, 0)

    def _route(self, process: SimProcess, peer: SimPeer, upgrade: Upgrade, ahead: bytes, hops: int) -> None:
        self._in_transit.pop(peer, None)
        if process.is_dead or hops > _MOST_HOPS or self.supervisor.is_stopping:
            if hops > _MOST_HOPS:
                self.model.fail(f"{peer}: nobody takes it")
            self.descriptors.release(peer)
            return
        try:
            decisive_id = id_of_owner(peer.connection_id, upgrade.claim)
            seat = process.seat_of_newcomer(decisive_id, was_sent=hops > 0)
        except InTransitError as in_transit:
            again = partial(self._route, process, peer, upgrade, ahead, hops)
            self._in_transit[peer] = process
            in_transit.wait(partial(self._soon, again))
            return
        if self.model.trace is not None:
            self.model.note(f"{peer} is at {process}, and belongs to {seat}")
        if seat == process.seat:
            transport = peer.transport = new_transport(process.shard, upgrade)
            places = process.shard.places
            assert places is not None
            places.take(transport, None)
            if ahead:
                self.model.bytes_in += len(ahead)
                transport.keep(ahead)
            fd = self.descriptors.given(process, peer)
            client = SimDescriptor(self.descriptors, fd, peer)
            process.shard.admission.coming.add(transport)
            if not self.descriptors.open_transport(self.loop, client, transport):
                process.shard.admission.coming.discard(transport)
                places.leave(transport)
            return
        self._hand_over(process, seat, peer, upgrade, ahead, hops)

    def _soon(self, call: Callable[[], object]) -> None:
        self.loop.call_soon(call)

    def _hand_over(
        self, process: SimProcess, seat: int, peer: SimPeer, upgrade: Upgrade, ahead: bytes, hops: int
    ) -> None:
        to = self.at(seat)
        link = process.links.get(seat)
        if to is None or link is None:
            self.descriptors.release(peer)
            return
        if hops % _SLOW_HOPS == _SLOW_HOPS - 1:
            again = partial(self._route, process, peer, upgrade, ahead, hops + 1)
            self.loop.call_later(0.01, again)
            return
        link.wire.put(partial(self._route, to, peer, upgrade, ahead, hops + 1), partial(self.descriptors.release, peer))

    # Time and turns.

    def run_until_idle(self) -> None:
        if not self.loop.run_until_idle():
            self.model.fail("the loop does not come to rest")
            return
        self.settle()
        check_idle(self.model, self.late_until)
        check_newcomers(self.model, self.peers, self.forwarder, self.late_until)
        is_moved = any(session.is_between for session in self.model.live.values())
        # A target that has yet to see that its source has died holds what it has built for it.
        is_coming = any(process.moving.coming(None) for process in self.processes)
        if self.supervisor.plan is None and not is_moved and not is_coming:
            for process in self.processes:
                check_places_at_rest(self.model, process.shard, self.peers)
        self.model.calls.check(self.late_until)

    def settle(self) -> None:
        model = self.model
        model.settle()
        model.check_tables(self.processes)
        check_places(model, (process.shard for process in self.processes))
        if self.loop.reports:
            report = self.loop.reports[0]
            model.fail(f"{report['message']}: {report.get('exception')!r}")

    def pass_time(self, until: float, *, quiet_peers: bool = False) -> None:
        for process in self.processes:
            if process.is_stalled and until > process.stalled_at + _MOST_STALLED_S:
                # One that is stuck for longer is waited for no more, and may be wrong then.
                process.is_stalled = False
        super().pass_time(until, quiet_peers=quiet_peers)

    def _flow_between(self) -> None:
        """What is on its way between processes arrives, unless one is stalled."""
        for _ in range(_HOPS_AT_ONCE):
            joining = any(end.joins and not end.process.is_stalled for end in self.forwarder.ends)
            if not joining and not any(wire.is_ready for wire in self.network.wires):
                return
            self.network.flow()
            if joining:
                self.forwarder.join_step()
            self.loop.run_until_idle()
            self.settle()

    def _is_only_kept_going(self) -> bool:
        return False

    # The end.

    def heal(self) -> None:
        for process in self.processes:
            process.is_stalled = False
            process.shortage = 0
        super().heal()

    def finish(self) -> None:
        for process in self.processes:
            process.is_stalled = False
        super().finish()

    def _flow(self) -> None:
        loop = self.loop
        for _ in range(_MOST_TURNS_AT_THE_END):
            busy = self._release_gates()
            if self.forwarder.busy:
                self.forwarder.free()
                self.network.flow()
                self.forwarder.join_step()
                busy = True
            busy = self._poll_once() or busy
            if not busy and loop.idle:
                self.run_until_idle()
                return
            loop.turn()
        self.model.fail("the world does not come to rest")

    def end_tasks(self) -> None:
        """Nothing of it runs in the next history."""
        for process in self._every:
            for task in [*process.tasks._tasks, *process.owners._tells, *process.shard.working.values()]:
                task.cancel()
        for task in self.app.tasks:
            task.cancel()
        self.loop.run_until_idle()

    def _look_at_end(self) -> None:
        model = self.model
        for process in self.processes:
            check_nothing_left_of(model, process)
            if process.owners._last or process.owners._tells:
                model.fail(f"{process}: asks are under way: {process.owners._last}")
        check_nothing_left(model, self.processes[0].shard, self.app, self.all_peers)
        if self.network.busy or self.descriptors.held:
            model.fail(f"left behind: {self.descriptors.held}, and what is on its way")
        raised = sum(process.shard.metrics.callbacks_raised for process in self._every)
        if not self.has_killed and raised != model.raises:
            model.fail(f"{model.raises} callbacks raised, {raised} were counted")
        if not self.has_killed:
            counted = [process.shard.metrics for process in self._every]
            check_counted(model, counted)
            if (moved := sum(metrics.moves_moved for metrics in counted)) != model.moved:
                model.fail(f"{model.moved} sessions moved, {moved} were counted")

    @property
    def _working(self) -> bool:
        return any(process.shard.working or process.shard.unfinished for process in self.processes)

    def _stop_handler_timeouts(self) -> None:
        for process in self.processes:
            process.handler_timeouts.stop()


@lru_cache(maxsize=1)
def _ids_of_slots() -> list[list[str]]:
    """Ids that acceptors draw, by their slots."""
    slot_of = Placement(1).slot_of
    ids: list[list[str]] = [[] for _ in range(SLOTS)]
    for number in range(64 * SLOTS):
        ids[slot_of(f"n{number}")].append(f"n{number}")
    return ids


def check_nothing_left_of(model: MovingModel, process: SimProcess) -> None:
    """What a process has at its end, or when all is over, beside what its shard may not have."""
    moving = process.moving
    left = {
        name: value
        for name, value in (
            ("sessions", process.shard.sessions),
            ("rooms' keepers", sum(room.keepers for room in process.shard.rooms.values())),
            ("arrivals", [each for each in moving._arrivals.values() if each._batches or each.waiting]),
            ("between", moving._departure is not None and moving._departure.waiting),
            ("unfinished", process.shard.unfinished),
            ("ending transports", process.shard._ending),
        )
        if value
    }
    if left:
        model.fail(f"{process}: left behind: {left}")
