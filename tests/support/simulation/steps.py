"""Everything that a step of a simulated history may be, and how often."""

from __future__ import annotations

from tests.support.simulation.model.frames import SUSPENDED
from tests.support.simulation.order_steps import OrderSteps
from tests.support.simulation.outside.app import Script
from tests.support.simulation.world import EVERY_CALLBACK

__all__ = ["Steps"]

_CLOSE_CODES = (1000, 1000, 1001, 0, 4001, 1011)


class Steps(OrderSteps):
    """See the module. Each step does one thing from outside; the history lets the loop turn between them."""

    def _connect(self) -> None:
        draw = self._random
        if draw() < self._exactness:
            self._dial()
            return
        scripts: dict[str, Script] = {}
        for kind in sorted(EVERY_CALLBACK):
            if kind != "on_message" and draw() < 0.35 and (script := self._script()) is not None:
                scripts[kind] = script
        early = tuple(self._script() for _ in range(int(draw() * 3))) if draw() < 0.3 else ()
        connection_id = self._ids[int(draw() * len(self._ids))]
        room_id = self._rooms[int(draw() * len(self._rooms))]
        capacity_bytes = 10 + int(draw() * 70)
        rooms = tuple(room for room in self._rooms if room != room_id and draw() < 0.5) if draw() < 0.2 else ()
        if rooms and draw() < 0.5:
            scripts["on_connect"] = Script(False, (("broadcast", rooms[-1]),))
        self._say(
            f"p{len(self.world.all_peers) + 1} connects as {connection_id} to {room_id} and {rooms}, {scripts}, early {early}"
        )
        peer = self.world.connect(
            connection_id,
            room_id,
            rooms=rooms,
            capacity_bytes=capacity_bytes,
            reads=draw() < 0.85,
            scripts=scripts,
            early=early,
        )
        peer.pongs = draw() < 0.85
        peer.polite = draw() < 0.8

    def _return(self) -> None:
        """A suspended session's peer, or a live one's double, comes."""
        draw = self._random
        live = self.world.model.live
        if not live:
            self._connect()
            return
        connection_id = sorted(live)[int(draw() * len(live))]
        if live[connection_id].exact is not None and draw() < 0.85:
            self._dial()
            return
        room_id = live[connection_id].room.id if draw() < 0.8 else self._rooms[int(draw() * len(self._rooms))]
        self._say("p%d returns as %s to %s", len(self.world.all_peers) + 1, connection_id, room_id)
        self.world.connect(connection_id, room_id, capacity_bytes=10 + int(draw() * 70), reads=draw() < 0.8)

    def _message(self) -> None:
        draw = self._random
        peer = self._peer()
        if peer is None or not peer.can_send:
            self._connect()
            return
        count = 1 + int(draw() * 3)
        kind = ""
        if draw() < 0.1:
            kind = ("ping", "ping", "undecodable", "broken")[int(draw() * 4)]
            peer.say(kind)
        for _ in range(count):
            self.world.send_message(peer, self._script())
        if kind == "ping" and draw() < 0.5:
            peer.send(kind)
        if self._trace is not None:
            self._say("%s sends %s %s", peer, peer.messages_sent[-count:], kind)
        if draw() < 0.85:
            peer.socket.poll()

    def _flood(self) -> None:
        """More messages than wait for a handler, in one read; what stands behind them is found when they are handled."""
        draw = self._random
        peer = self._peer()
        if peer is None or not peer.can_send:
            return
        count = 17 + int(draw() * 6)
        self._say("%s sends %s messages", peer, count)
        waits_for = ("gate",) if draw() < 0.6 else ("call", (2.0, 9.0)[int(draw() * 2)])
        self.world.send_message(peer, Script(True, (waits_for,), "raise" if draw() < 0.2 else ""))
        for _ in range(count - 1):
            self.world.send_message(peer, self._script() if draw() < 0.1 else None)
        which = draw()
        if which < 0.4:
            self._say("%s closes behind them", peer)
            peer.send("close", _CLOSE_CODES[int(draw() * len(_CLOSE_CODES))])
        elif which < 0.5:
            self._say("%s breaks the protocol behind them", peer)
            peer.send("broken")
        peer.socket.poll()
        if draw() < 0.3:
            self._say("%s is reset, which a write finds out", peer)
            peer.drop()
            self.world.app.send(peer.connection_id)

    def _late_handler(self) -> None:
        """A handler returns later than a pong is awaited, and its peer is not read meanwhile; then everything goes on."""
        draw = self._random
        peer = self._peer()
        if peer is None or not peer.can_send or peer.session is None:
            return
        world = self.world
        self._say("%s sends messages to a handler that takes long", peer)
        self.world.send_message(peer, Script(True, (("gate",),), ""))
        for _ in range(17):
            world.send_message(peer, None)
        peer.socket.poll()
        world.pass_time(world.loop.now + self._options.pong_wait + draw() * 6)
        self._say("all handlers go on")
        gates, world.app.gates = world.app.gates, []
        for gate in gates:
            if not gate.done():
                gate.set_result(None)
        if draw() < 0.5 and not peer.reset:
            self._say("%s answers no ping any more", peer)
            peer.pongs = False
            peer.start_reading()
            world.heal()
            world.pass_time(world.loop.now + self._options.pong_wait + 3 * self._options.ping_period)
        world.pass_time(world.loop.now + 1 + draw() * 6)

    def _silence(self) -> None:
        """A peer answers no ping for longer than may be, whatever else it sends; or its answers are not read."""
        draw = self._random
        peer = self._peer()
        if peer is None or not peer.can_send:
            return
        world = self.world
        peer.start_reading()
        which = draw()
        peer.pongs = which > 0.6
        self._say("%s %s", peer, "answers no ping" if which <= 0.6 else "is not read for a while")
        for _ in range(3):
            if peer.saw_end or peer.close_sent:
                return
            if which < 0.3:
                peer.send("pong", payload=b"" if draw() < 0.5 else b"12345678")
            elif which < 0.45:
                peer.send("ping")
            world.pass_time(world.loop.now + self._options.pong_wait / 2 - draw(), quiet_peers=which > 0.6)
        world.poll_all()

    def _slow_reader(self) -> None:
        """A peer takes a little at a time, of more than it can take at once, for longer than a pong is awaited."""
        draw = self._random
        peer = self._peer()
        if peer is None or not peer.can_send or peer.session is None:
            return
        world = self.world
        self._say("%s reads slowly", peer)
        peer.reads = False
        step_s = 0.8 * self._options.write_wait
        for _ in range(1 + int((self._options.pong_wait + self._options.ping_period) / step_s)):
            for _ in range(1 + int(draw() * 6)):
                world.app.broadcast_nowait(peer.room_id)
            peer.read(1 + int(draw() * 8))
            world.pass_time(world.loop.now + step_s)
            if peer.socket.closed or world.model.violation is not None:
                return
        if draw() < 0.5:
            peer.start_reading()

    def _half_close(self) -> None:
        """A peer asks, ends its stream, and reads on."""
        draw = self._random
        peer = self._peer()
        if peer is None or not peer.can_send:
            return
        self._say("%s asks and ends its stream", peer)
        for _ in range(1 + int(draw() * 5)):
            self.world.send_message(
                peer, Script(True, (("sleep", (0.01, 0.5, 5.0)[int(draw() * 3)]), ("send", None)), "")
            )
        peer.eof = True
        if draw() < 0.7:
            for _ in range(4):
                peer.socket.poll()
                self.world.run_until_idle()

    def _part(self) -> None:
        """A part of what a peer sent arrives."""
        peer = self._peer()
        if peer is None or not peer.outgoing or not peer.socket.reading or peer.reset:
            return
        size = 1 + int(self._random() * len(peer.outgoing))
        self._say("%s bytes of %s arrive", size, peer)
        peer.socket.poll(size)

    def _arrive(self) -> None:
        self._say("what is on its way arrives")
        self.world.poll_all()

    def _drop(self) -> None:
        draw = self._random
        peer = self._peer()
        if peer is None or peer.reset:
            return
        if draw() < 0.5:
            self._say("%s is reset", peer)
            peer.drop()
        else:
            self._say("%s ends its stream", peer)
            peer.eof = True
        if draw() < 0.8:
            peer.socket.poll()
            peer.socket.poll()

    def _goodbye(self) -> None:
        draw = self._random
        peer = self._peer()
        if peer is None or not peer.can_send:
            return
        code = _CLOSE_CODES[int(draw() * len(_CLOSE_CODES))]
        self._say("%s closes with %s", peer, code)
        if draw() < 0.1:
            peer.send("ping")
        peer.send("close", code)
        if draw() < 0.8:
            peer.socket.poll()

    def _send(self) -> None:
        draw = self._random
        app = self.world.app
        connection_id = self._ids[int(draw() * len(self._ids))]
        count = 1 + int(draw() * 3) if draw() < 0.7 else 1 + int(draw() * 10)
        self._say("send %s frames to %s", count, connection_id)
        for _ in range(count):
            app.send(connection_id)

    def _broadcast(self) -> None:
        draw = self._random
        app = self.world.app
        room_id = self._rooms[int(draw() * len(self._rooms))]
        count = 1 + int(draw() * 3) if draw() < 0.7 else 1 + int(draw() * 10)
        excluded = self._excluded()
        self._say("broadcast %s frames to %s without %s", count, room_id, sorted(excluded))
        for number in range(count):
            app.broadcast_nowait(room_id, excluded if number < 2 else frozenset())

    def _burst(self) -> None:
        """Direct frames and broadcasts of one turn, to a peer that may stop or start reading among them."""
        draw = self._random
        app = self.world.app
        live = self.world.model.live
        if not live:
            return
        session = live[sorted(live)[int(draw() * len(live))]]
        if draw() < 0.7:
            session.peer.reads = False
        self._say("a burst to %s", session)
        room_id = session.room.id if draw() < 0.6 else self._room()
        for _ in range(2 + int(draw() * 5)):
            which = draw()
            if which < 0.55:
                app.send(session)
            elif which < 0.9:
                for _ in range(1 + int(draw() * self._options.send_buffer_size)):
                    app.broadcast_nowait(room_id)
            elif which < 0.97 or not session.peer.can_send:
                session.peer.read(1 + int(draw() * 40))
            else:
                session.peer.send("ping")
                session.peer.socket.poll()

    def _reading(self) -> None:
        draw = self._random
        peer = self._peer()
        if peer is None:
            return
        if peer.reads:
            self._say("%s stops reading", peer)
            peer.reads = False
        elif draw() < 0.5:
            size = 1 + int(draw() * 40)
            self._say("%s reads %s bytes", peer, size)
            peer.read(size)
        else:
            self._say("%s reads again", peer)
            peer.start_reading()

    def _advance(self) -> None:
        draw = self._random
        world = self.world
        now = world.loop.now
        which = draw()
        if which < 0.3:
            due = world.loop.next_timer()
            if due == float("inf"):
                return
            self._say("the clock jumps to the next timer, +%g s", due - now)
            world.jump(max(due, now))
            return
        if which < 0.55:
            deadline = self._suspended_until()
            if deadline is not None:
                # To the tick at which the window ends: what comes next is in the same instant.
                until = (int(deadline / 0.01) + 1) * 0.01
                if until > world.model.now:
                    self._say("%g s pass until the end of a window", until - world.model.now)
                    world.approach(until)
                    return
        until = now + (0.004, 0.02, 0.3, 1.0, 2.0, 7.0, 13.0)[int(draw() * 7)]
        if which < 0.7:
            self._say("the clock jumps %g s", until - now)
            world.jump(until)
        else:
            self._say("%g s pass", until - now)
            world.pass_time(until)

    def _suspended_until(self) -> float | None:
        for session in self.world.model.live.values():
            if session.state is SUSPENDED:
                return session.deadline
        return None

    def _bus(self) -> None:
        bus = self.world.bus
        if bus is None:
            self._release()
            return
        draw = self._random
        which = draw()
        if which < 0.08:
            self._say("the bus is full")
            bus.fill()
        elif which < 0.2:
            self._say("the bus takes again")
            bus.free()
        elif which < 0.6:
            self._say("a join moves on")
            bus.join_step()
            if draw() < 0.7:
                bus.join_step()
        else:
            self._say("the bus delivers")
            for _ in range(1 + int(draw() * 3)):
                bus.deliver_step()

    def _release(self) -> None:
        gates = self.world.app.gates
        if gates:
            gate = gates.pop(int(self._random() * len(gates)))
            self._say("a handler goes on")
            if not gate.done():
                gate.set_result(None)
