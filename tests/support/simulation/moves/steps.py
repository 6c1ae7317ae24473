"""The steps of a simulated history with several processes: plans that move sessions, and what goes wrong meanwhile."""

from __future__ import annotations

from tests.support.simulation.model.frames import SUSPENDED
from tests.support.simulation.moves.world import MovingWorld
from tests.support.simulation.outside.app import Script
from tests.support.simulation.outside.processes.process import SimProcess
from tests.support.simulation.steps import Steps
from tests.support.simulation.world import World

__all__ = ["MoveSteps"]

_GOODBYES = (
    frozenset({"on_transfer_in", "on_transfer_out"}),
    frozenset({"on_transfer_in", "on_transfer_out"}),
    frozenset({"on_transfer_in"}),
    frozenset[str](),
)


class MoveSteps(Steps):
    """See the module. No process's loop stands still in it; what takes long is the network, and other processes."""

    world: MovingWorld

    def _world(self, seed: int, callbacks: frozenset[str], leave_delay_s: float | None) -> World:
        goodbyes = _GOODBYES[int(self._random() * len(_GOODBYES))]
        if not callbacks:
            goodbyes = frozenset()
        self._seats = 2 + int(self._random() * 2)
        self._has_stood = False
        """Whether nothing has arrived for a while in this step."""
        self._kills = 1 if self._random() < 0.25 else 0
        return MovingWorld(seed, self._options, callbacks, goodbyes, leave_delay_s or 0.5)

    def _begin(self) -> None:
        draw = self._random
        all_at_one = draw() < 0.5
        owners = {each: 0 if all_at_one else int(draw() * self._seats) for each in self._ids}
        self._say("%s processes, ids at %s", self._seats, owners)
        self.world.begin(self._seats, owners)
        for _ in range(1 + int(draw() * 3)):
            self._connect()
        self.world.pass_time(self.world.loop.now + 0.02)

    def _process(self) -> SimProcess:
        processes = self.world.processes
        return processes[int(self._random() * len(processes))]

    # Plans.

    def _plan(self) -> None:
        """The slots of one process, or some of them, are to be others'."""
        draw, world = self._random, self.world
        supervisor = world.supervisor
        if supervisor.plan is not None or world.app.is_shut:
            self._net()
            return
        source = self._process()
        if source.is_leaving:
            return
        slots = [slot for slot, seat in enumerate(supervisor.owners) if seat == source.seat]
        if not slots:
            return
        leaves = draw() < 0.5
        others = [each.seat for each in world.processes if each is not source and not each.is_leaving]
        if leaves or not others:
            # Another process has been started for it.
            others = [world.open(self._free_seat()).seat]
        elif draw() < 0.7:
            others = [others[int(draw() * len(others))]]
        if not leaves and draw() < 0.5:
            ids = {source.slot_of(each) for each in self._ids if draw() < 0.7}
            slots = [slot for slot in slots if slot in ids]
            if not slots:
                return
        targets = {slot: others[slot % len(others)] for slot in slots}
        timeout_s = (1.0, 3.0, 10.0)[int(draw() * 3)]
        world.model.handover_timeout_s = timeout_s
        self._say("%s is to give %s slots to %s, %s, within %s s", source, len(slots), others, leaves, timeout_s)
        supervisor.begin(source, targets, leaves=leaves, handover_timeout_s=timeout_s)

    def _free_seat(self) -> int:
        # Not one that was another's: who has not heard of the table yet would send there what was for that.
        return self.world.seats_used

    def _net(self) -> None:
        """Some of what is on its way arrives."""
        draw, world = self._random, self.world
        count = 1 + int(draw() * 8)
        self._say("%s things arrive", count)
        for _ in range(count):
            if draw() < 0.25:
                world.forwarder.join_step()
            else:
                world.network.step()
            if draw() < 0.5:
                world.loop.turn()
            world.settle()

    def _move_on(self) -> None:
        """Everything arrives for a few milliseconds, while others do something."""
        draw, world = self._random, self.world
        for _ in range(1 + int(draw() * 4)):
            self._say("the network flows")
            world.pass_time(world.loop.now + (0.001, 0.01, 0.06)[int(draw() * 3)])
            if draw() < 0.5:
                self._burst_in_rooms()

    def _in_the_midst(self) -> None:
        """Sessions move, step by step, while everybody says something."""
        draw, world = self._random, self.world
        if world.supervisor.plan is None:
            self._plan()
        self._say("much happens while sessions move")
        faults = (self._tear, self._tear, self._shortage, self._stall, self._kill)
        is_troubled = draw() < 0.4
        plan = world.supervisor.plan
        self._has_stood = False
        world.network.slow = plan.source.bus.outgoing if plan is not None and draw() < 0.5 else None
        for _ in range(10 + int(draw() * 30)):
            if is_troubled and self._is_hot and draw() < 0.15:
                is_troubled = False
                faults[int(draw() * len(faults))]()
            self._next_thing(draw())
            turns = int(draw() * 3)
            for _ in range(turns):
                world.loop.turn()
            world.settle()
            if world.model.violation is not None:
                return
        world.network.slow = None

    @property
    def _is_hot(self) -> bool:
        """Whether sessions are being cut out, or are between two processes."""
        world = self.world
        return bool(world.forwarder.cuts) or any(session.is_between for session in world.model.live.values())

    def _next_thing(self, which: float) -> None:
        draw, world = self._random, self.world
        if which > 0.6 and self._is_hot:
            which = draw()
            if which < 0.55:
                self._burst_of_one(self._process())
            elif which < 0.7:
                self._send_to_one_between()
            elif which < 0.78:
                self._let_time_pass(self._longest())
            else:
                for _ in range(1 + int(draw() * 5)):
                    world.network.step()
        elif which > 0.8 and draw() < 0.6 and world.supervisor.plan is not None:
            self._burst_of_one(world.supervisor.plan.source)
        elif which < 0.5:
            for _ in range(1 + int(draw() * 3)):
                world.network.step()
        elif which < 0.58:
            world.forwarder.join_step()
        elif which < 0.74:
            self._let_time_pass(0.06 if not self._is_hot or draw() < 0.8 else self._longest())
        elif which < 0.84:
            world.app.broadcast_nowait(self._room(), self._excluded() if draw() < 0.3 else frozenset())
        elif which < 0.88:
            world.app.send(self._ids[int(draw() * len(self._ids))])
        else:
            self._of_a_peer(which)

    def _send_to_one_between(self) -> None:
        between = [session for session in self.world.model.live.values() if session.is_between]
        if between:
            self.world.app.send(between[int(self._random() * len(between))])

    def _longest(self) -> float:
        """How many seconds may pass at once while sessions move: sometimes until the window of one of them ends. Once, since a
        process that hears nothing for longer than others wait for it may be wrong then."""
        if self._has_stood:
            return 0.06
        self._has_stood = True
        now = self.world.loop.now
        for session in self.world.model.live.values():
            if session.is_between and session.state is SUSPENDED and now < session.deadline < now + 3:
                return session.deadline - now + 0.01 if self._random() < 0.6 else 2.2
        return 2.2

    def _let_time_pass(self, seconds: float) -> None:
        """Nothing arrives meanwhile."""
        loop = self.world.loop
        until = loop.now + seconds
        for _ in range(1 if seconds < 1 else 200):
            loop.now = max(loop.now, min(loop.next_timer(), until))
            loop.turn()
            self.world.settle()
            if loop.now >= until:
                break

    def _burst_of_one(self, process: SimProcess) -> None:
        """One process broadcasts to rooms that somebody is in."""
        if process.is_dead:
            return
        rooms = sorted({session.room.id for session in self.world.model.live.values()}) or list(self._rooms)
        for _ in range(1 + int(self._random() * 4)):
            self.world.app.broadcast_from(process, rooms[int(self._random() * len(rooms))])

    def _of_a_peer(self, which: float) -> None:
        draw, peer = self._random, self._peer()
        if peer is None:
            return
        if which < 0.92:
            peer.read(1 + int(draw() * 12))
        elif which < 0.94:
            peer.reads = False
        elif peer.session is not None and which < 0.96:
            self.world.app.send(peer.session)
        elif peer.can_send:
            if draw() < 0.1:
                peer.drop()
            else:
                says = Script(False, (("broadcast", self._room(), frozenset()),))
                self.world.send_message(peer, says if draw() < 0.7 else self._script())
            peer.socket.poll(1 + int(draw() * 12))

    def _burst_in_rooms(self) -> None:
        for room_id in self._rooms:
            for _ in range(int(self._random() * 3)):
                self.world.app.broadcast_nowait(room_id)

    # Faults.

    def _stall(self) -> None:
        """A process takes nothing of what comes for a while."""
        process = self._process()
        if any(each.is_stalled for each in self.world.processes):
            for each in self.world.processes:
                each.is_stalled = False
            self._say("all processes go on")
            return
        self._say("%s is stalled", process)
        process.is_stalled, process.stalled_at = True, self.world.loop.now
        if self._random() < 0.5:
            self.world.pass_time(self.world.loop.now + 2.5)
            process.is_stalled = False

    def _tear(self) -> None:
        """A stream ends, or will when its next descriptor comes."""
        streams = [stream for stream in self.world.streams if not stream.ended]
        if not streams:
            return
        stream = streams[int(self._random() * len(streams))]
        if self._random() < 0.5:
            self._say("the stream of %s ends", stream.process)
            stream.tear()
        else:
            self._say("the stream of %s will lose a descriptor", stream.process)
            stream.shortage = True

    def _shortage(self) -> None:
        """A process has no descriptor free."""
        process = self._process()
        self._say("%s is short of descriptors", process)
        process.shortage = 1 + int(self._random() * 2)

    def _kill(self) -> None:
        world = self.world
        if not self._kills or len(world.processes) < 2 or world.app.is_shut:
            return
        process = self._victim()
        if process is None:
            return
        self._kills -= 1
        self._say("%s dies", process)
        world.kill(process)

    def _victim(self) -> SimProcess | None:
        """One of a plan that is under way: who is in no plan dies as in any other history."""
        plan = self.world.supervisor.plan
        if plan is None:
            return None
        if self._random() < 0.5:
            return plan.source
        if plan.has_moved:
            return None
        seats = sorted(set(plan.targets.values()))
        return self.world.at(seats[int(self._random() * len(seats))])

    # What others do, as far as it is another matter here.

    def _advance(self) -> None:
        draw = self._random
        world = self.world
        now = world.loop.now
        if draw() < 0.3:
            deadline = self._suspended_until()
            if deadline is not None and deadline > now:
                until = (int(deadline / 0.01) + 1) * 0.01
                self._say("%g s pass until the end of a window", until - now)
                world.pass_time(until)
                return
        until = now + (0.004, 0.02, 0.06, 0.3, 1.0, 2.0, 7.0)[int(draw() * 7)]
        self._say("%g s pass", until - now)
        world.pass_time(until)

    def _list(self) -> None:
        self.world.forget_closed_peers()

    def _release(self) -> None:
        super()._release()
