"""`World`: one real shard with a simulated outside, and everything that can be done to the two.

A history does one thing at a time and lets the loop turn as often as it likes in between: never, once, until it is idle.
After each thing the model's checks run.
"""

from __future__ import annotations

from tests.support.simulation.loop import SimLoop
from tests.support.simulation.model.checks import (
    check_endings,
    check_idle,
    check_newcomers,
    check_nothing_left,
    check_table,
)
from tests.support.simulation.model.ends import check_counted
from tests.support.simulation.model.model import Model
from tests.support.simulation.outside.app import Script, SimApp
from tests.support.simulation.outside.bus import SimBus, watched_local_bus
from tests.support.simulation.outside.client import SimClient
from tests.support.simulation.outside.compression import WINDOW_BITS, compressing_peers, pretend_compression
from tests.support.simulation.outside.peer import SimPeer
from tests.support.simulation.outside.places import check_places, check_places_at_rest, give_places
from tests.support.simulation.outside.small import HANDSHAKE_TIMEOUT_S, logger
from tests.support.simulation.outside.socket import SimSocket
from wspulse.actors.sessions.patience.handler_timeouts import HandlerTimeouts
from wspulse.actors.sessions.shard import Shard
from wspulse.actors.transport.compression.choice import new_transport
from wspulse.actors.transport.upgrade import Upgrade
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.request import Request
from wspulse.actors.values.text.exact import SUBPROTOCOL, Claim

__all__ = ["EVERY_CALLBACK", "World"]

EVERY_CALLBACK = frozenset({"on_connect", "on_message", "on_disconnect", "on_transport_drop", "on_transport_restore"})

_MOST_TURNS_AT_THE_END = 5_000

_EPSILON_S = 1e-6
_STRIDE_S = 0.5
_SETTLE_S = 1.0
"""doc/inside/internals.md: how far the shard's clock goes without its loop, and how long it stands when that is back."""

_ANSWER = b"HTTP/1.1 101\r\n\r\n"
_REQUEST = Request(b"GET /ws HTTP/1.1", None)


class World:
    """See the module. `leave_delay_s` None: a local bus."""

    def __init__(
        self, seed: int, options: ServerOptions, callbacks: frozenset[str], leave_delay_s: float | None
    ) -> None:
        self.loop = loop = SimLoop(seed)  # type: ignore[abstract]  # no sockets, no signals
        self.model = model = Model(loop, options, callbacks)
        self.app = app = SimApp(model)
        self.shard = shard = Shard(
            index=0, incarnation=1, options=options, handlers=app.handlers(), loop=loop, real_time=loop.time
        )
        give_places(shard)
        model.clock = shard.clock
        shard.exact_frames.ack_frames = 1 + seed % 3
        pretend_compression(shard.writing)
        self.compresses = compressing_peers(seed)
        self.clients: list[SimClient] = []
        cancellations = shard.cancellations
        self.handler_timeouts = HandlerTimeouts(
            loop, shard.context, shard.working, options.handler_timeout, cancellations.cancel
        )
        self.bus: SimBus | None = None
        if leave_delay_s is None:
            shard.bus = watched_local_bus(model, shard.deliver, shard.deliver_but)
        else:
            shard.bus = self.bus = SimBus(model, shard.deliver, shard.deliver_but, leave_delay_s)
        shard.events = model.event
        app.shard = shard
        app.bus = shard.bus
        logger.model = model
        self.peers: list[SimPeer] = []
        """Those whose sockets are not closed yet."""
        self.all_peers: list[SimPeer] = []
        self._jumped_at = 0.0
        self.late_until = 0.0
        """What the shard's clock showed when the time last jumped over timers, which then run late."""

    # Peers.

    def connect(
        self,
        connection_id: str,
        room_id: str,
        *,
        capacity_bytes: int = 64,
        reads: bool = True,
        rooms: tuple[str, ...] = (),
        scripts: dict[str, Script] | None = None,
        early: tuple[Script | None, ...] = (),
        client: SimClient | None = None,
        claim: Claim | None = None,
        is_late: bool = False,
    ) -> SimPeer:
        """A valid upgrade arrives, with messages behind it that do not wait for the answer; of an exact session's `client`, with
        what it claims, and without. One that is late its client has abandoned long ago, for the one that it has."""
        model = self.model
        peer = SimPeer(len(self.all_peers) + 1, connection_id, room_id)
        if client is not None:
            peer.client, peer.claim, early = client, claim, ()
            if not is_late:
                client.dials(peer)
        peer.rooms = rooms
        if scripts:
            peer.scripts = scripts
        peer.reads = reads
        self.all_peers.append(peer)
        self.peers.append(peer)
        peer.answer_by = model.now + HANDSHAKE_TIMEOUT_S
        upgrade = Upgrade(room_id, connection_id, None, _REQUEST, _ANSWER, peer.answer_by, rooms=rooms)
        if client is not None:
            upgrade.subprotocol, upgrade.claim = SUBPROTOCOL, claim
        if self.compresses(peer.number):
            upgrade.window_bits = peer.window_bits = WINDOW_BITS
        newcomer = new_transport(self.shard, upgrade)
        peer.transport = newcomer
        peer.socket = SimSocket(model, peer, newcomer, capacity_bytes)
        for script in early:
            self.send_message(peer, script)
        self._arrive(peer, upgrade, peer.hand_over() if early else b"")
        return peer

    def _arrive(self, peer: SimPeer, _upgrade: Upgrade, ahead: bytes) -> None:
        assert self.shard.places is not None
        self.shard.places.take(peer.transport, None)
        if ahead:
            self.model.bytes_in += len(ahead)
            peer.transport.keep(ahead)
        peer.transport.connection_made(peer.socket)

    def send_message(self, peer: SimPeer, script: Script | None) -> None:
        """The peer sends a message that has the application play a script."""
        number = self.model.new_number()
        if script is not None:
            self.app.scripts[number] = script
        if peer.client is not None:
            peer.client.say("message", number)
            return
        self.model.senders[number] = peer
        peer.send("message", number)

    def poll_all(self) -> None:
        """Everything that is on its way to the server arrives."""
        for peer in self.peers:
            if peer.outgoing or peer.eof or peer.reset:
                peer.socket.poll()

    # Time and turns.

    def run_until_idle(self) -> None:
        """Turn until nothing waits for now, what arrives meanwhile left out."""
        if not self.loop.run_until_idle():
            self.model.fail("the loop does not come to rest")
            return
        self.settle()
        check_idle(self.model, self.late_until)
        check_newcomers(self.model, self.peers, self.bus, self.late_until)
        check_places_at_rest(self.model, self.shard, self.peers)
        self.model.calls.check(self.late_until)

    def settle(self) -> None:
        """The checks that hold between any two events."""
        model = self.model
        model.settle()
        check_table(model, self.shard)
        check_places(model, (self.shard,))
        if self.loop.reports:
            report = self.loop.reports[0]
            model.fail(f"{report['message']}: {report.get('exception')!r}")

    def jump(self, when: float) -> None:
        """The time is there; timers on the way are late and run in the next turn. The shard's clock goes half a second at most
        without its loop."""
        before, real_before = self.model.now, self.loop.now
        self.loop.now = self._jumped_at = self.model.jumped_at = when
        self.late_until = now = self.model.now
        if not before <= now <= before + (when - real_before) + _EPSILON_S:
            self.model.fail(f"the clock goes from {before} to {now} while {when - real_before} s pass")
        if now < before + (when - real_before) - _EPSILON_S and not self.shard.clock._is_settling:
            # A loop that is always late must come to an end too: it settles once, and then judges.
            self.model.settled_at = when + _SETTLE_S
        if len(self.shard._ticker) and now > before + _STRIDE_S + _EPSILON_S:
            self.model.fail(f"the clock goes on by {now - before} s while the loop stands still")

    def approach(self, when: float) -> None:
        """Time goes by until the shard's clock shows `when`; what is due then has not been called."""
        loop, model = self.loop, self.model
        while (left := when - model.now) > 0 and model.violation is None:
            due = loop.next_timer()
            if due > loop.now + left:
                loop.now += left
                break
            loop.now = max(due, loop.now)
            if model.now >= when:
                break
            loop.turn()
            self.run_until_idle()

    def pass_time(self, until: float, *, quiet_peers: bool = False) -> None:
        """Time goes by, each timer runs when it is due, and the network is quick."""
        loop, model = self.loop, self.model
        self.run_until_idle()
        may_stand_s = _SETTLE_S if loop.now <= self._jumped_at + _STRIDE_S + _SETTLE_S else 0.0
        begun, real_begun = model.now, loop.now
        self._flow_between()
        while model.violation is None:
            due = loop.next_timer()
            if due > until:
                break
            loop.now = max(due, loop.now)
            if self._is_only_kept_going():
                loop.turn()  # The clock is kept going, or somebody looks, and most often nothing else.
                if loop.idle:
                    continue
            loop.turn()
            if not quiet_peers:
                self.poll_all()
            self._flow_between()
            self.run_until_idle()
        loop.now = max(until, loop.now)
        self.run_until_idle()
        self._flow_between()
        self.run_until_idle()
        stood_s = (loop.now - real_begun) - (model.now - begun)
        if stood_s > may_stand_s + _EPSILON_S:
            model.fail(f"the clock stood for {stood_s} s while the loop turned")
        check_endings(model, self.peers, self.late_until)
        self.forget_closed_peers()

    def _flow_between(self) -> None:
        """What is on its way between processes arrives."""

    def _is_only_kept_going(self) -> bool:
        return self.shard._ticker.next_due > self.model.now and self.loop.has_one_timer_now()

    def forget_closed_peers(self) -> None:
        self.peers = [peer for peer in self.peers if not peer.socket.closed]

    # The end.

    def heal(self) -> None:
        """Every peer reads, every handler goes on, the bus flows: what was accepted must now arrive."""
        for peer in self.peers:
            if not peer.reset:
                peer.start_reading()
        self._flow()

    def _flow(self) -> None:
        loop = self.loop
        for _ in range(_MOST_TURNS_AT_THE_END):
            busy = self._release_gates()
            bus = self.bus
            if bus is not None and bus.busy:
                bus.free()
                bus.join_step()
                bus.deliver_step()
                busy = True
            busy = self._poll_once() or busy
            if not busy and loop.idle:
                self.run_until_idle()
                return
            loop.turn()
        self.model.fail("the world does not come to rest")

    def _release_gates(self) -> bool:
        gates, self.app.gates = self.app.gates, []
        waiting = [gate for gate in gates if not gate.done()]
        for gate in waiting:
            gate.set_result(None)
        return bool(waiting)

    def _poll_once(self) -> bool:
        busy = False
        for peer in self.peers:
            if peer.outgoing or peer.eof or peer.reset:
                if peer.outgoing and peer.socket.reading:
                    busy = True
                peer.socket.poll()
        return busy

    def finish(self) -> None:
        """The server closes, time passes until no timer is left, and nothing may be left behind."""
        model = self.model
        loop = self.loop
        if not self.app.is_shut:
            self.app.start(self.app.shut_down())
        for _ in range(_MOST_TURNS_AT_THE_END):
            self._flow()
            if not self._working:
                self._stop_handler_timeouts()
            due = loop.next_timer()
            if model.violation is not None or due == float("inf"):
                break
            loop.now = max(due, loop.now)
            loop.turn()
            self.settle()
            self.forget_closed_peers()
        else:
            model.fail("timers never end")
        self._look_at_end()

    def _look_at_end(self) -> None:
        model = self.model
        check_nothing_left(model, self.shard, self.app, self.all_peers)
        if self.bus is not None and (self.bus.busy or self.bus.rooms):
            model.fail(f"the bus is left with {self.bus.rooms}")
        self._look_at_log()

    @property
    def _working(self) -> bool:
        return bool(self.shard.working)

    def _stop_handler_timeouts(self) -> None:
        self.handler_timeouts.stop()

    def abort(self, *, before_callbacks: bool = True) -> None:
        """The server closes and its patience ends at once, before or after the callbacks that are due begin."""
        if before_callbacks:
            self.app.start(self.shard.abort())
        self.app.shut_down_now()
        if not before_callbacks:
            self.app.start(self.shard.abort())
        for _ in range(_MOST_TURNS_AT_THE_END):
            if self.loop.idle:
                break
            self.loop.turn()
        self.settle()
        if self.shard.working or self.shard._ending or not self.app.tasks[-1].done():
            self.model.fail(f"left behind by abort: {self.shard.working} {self.shard._ending}")
        for peer in self.all_peers:
            if not peer.socket.closed:
                self.model.fail(f"{peer}: its socket is still open after abort")
        for task in self.app.tasks:
            task.cancel()
        self.loop.run_until_idle()

    def _look_at_log(self) -> None:
        model = self.model
        if self.shard.metrics.callbacks_raised != model.raises:
            model.fail(f"{model.raises} callbacks raised, {self.shard.metrics.callbacks_raised} were counted")
        check_counted(model, [self.shard.metrics])
