"""What a simulated history draws from its seed before and between its steps: options, peers, what callbacks do."""

from __future__ import annotations

from random import Random

from tests.support.simulation.outside.app import Script
from tests.support.simulation.outside.peer import SimPeer
from tests.support.simulation.outside.small import server_options
from tests.support.simulation.world import EVERY_CALLBACK, World
from wspulse.actors.values.options.server_options import ServerOptions

__all__ = ["Draw"]

_IDS = ("a", "b", "c")
_ROOMS = ("r", "s", "t")


class Draw:
    """The world of one history, and its dice. `trace` gets the steps and what follows from each, when it is a list."""

    def __init__(self, seed: int, trace: list[str] | None = None) -> None:
        rng = Random(seed)
        self._random = draw = rng.random
        window = (0.0, 2.0, 2.0, 8.0)[int(draw() * 4)]
        modes = ("kick", "kick", "reject", "resume") if window else ("kick", "kick", "reject")
        self._options: ServerOptions = server_options(
            window,
            draw() < 0.6,
            modes[int(draw() * len(modes))],
            1 + int(draw() * 5),
            (12.0, 30.0)[int(draw() * 2)],
            (1.0, 6.0)[int(draw() * 2)],
            (0.0, 0.0, 0.0, 3.0)[int(draw() * 4)],
            draw() < 0.3,
            # Of its own, so that a seed is the same history with a limit as without.
            Random(f"limit {seed}").choice((0, 0, 0, 0, 0, 0, 2, 20)),
        )
        callbacks = EVERY_CALLBACK
        if draw() < 0.1:
            callbacks = frozenset(kind for kind in sorted(EVERY_CALLBACK) if draw() < 0.6)
        leave_delay_s = (None, None, 0.0, 0.5)[int(draw() * 4)]
        self._ids = _IDS[: 1 + int(draw() * 3)]
        self._rooms = _ROOMS[: 1 + int(draw() * 3)]
        self._simple = draw() < 0.4
        """Whether handlers are mostly sync and short."""
        self._exactness = (0.0, 0.0, 0.5, 0.9)[int(draw() * 4)]
        """How many of the clients speak the protocol of exact sessions."""
        self.world = self._world(seed, callbacks, leave_delay_s)
        self.world.model.trace = trace
        self._steps = 20 + int(draw() * 41)
        if trace is not None:
            trace.append(
                f"seed {seed}: resume_window={window:g} suspend_on_clean_close={self._options.suspend_on_clean_close} "
                f"on_duplicate={self._options.on_duplicate} send_buffer_size={self._options.send_buffer_size} "
                f"handler_timeout={self._options.handler_timeout:g} "
                f"cancel_on_disconnect={self._options.cancel_on_disconnect} "
                f"max_frames_per_second={self._options.max_frames_per_second} "
                f"pong_wait={self._options.pong_wait:g} write_wait={self._options.write_wait:g} "
                f"callbacks={'all' if callbacks is EVERY_CALLBACK else sorted(callbacks)} "
                f"bus={'local' if leave_delay_s is None else f'remote, leaves after {leave_delay_s:g} s'}"
            )
        self._trace = trace

    def _world(self, seed: int, callbacks: frozenset[str], leave_delay_s: float | None) -> World:
        return World(seed, self._options, callbacks, leave_delay_s)

    def _say(self, text: str, *values: object) -> None:
        if self._trace is not None:
            self._trace.append(f"{self.world.loop.now - 1000.0:9.4f} {text % values}")

    def _peer(self) -> SimPeer | None:
        peers = self.world.peers
        return peers[int(self._random() * len(peers))] if peers else None

    def _room(self) -> str:
        return self._rooms[int(self._random() * len(self._rooms))]

    def _excluded(self) -> frozenset[str]:
        """Whom a broadcast leaves out: nobody, mostly."""
        draw = self._random
        if draw() < 0.75:
            return frozenset()
        return frozenset({self._ids[int(draw() * len(self._ids))], "nobody"})

    def _script(self) -> Script | None:
        draw = self._random
        if draw() < (0.7 if self._simple else 0.35):
            return None
        is_async = draw() < (0.3 if self._simple else 0.75)
        actions: list[tuple[object, ...]] = []
        for _ in range(1 + int(draw() * 2.5)):
            which = draw()
            if which < 0.2:
                actions.append(("sleep", (0.001, 0.01, 0.5, 2.0)[int(draw() * 4)]))
            elif which < 0.35:
                actions.append(("gate",))
            elif which < 0.38:
                actions.append(("yield",))
            elif which < 0.44:
                actions.append(("call", (0.3, 2.0, 9.0)[int(draw() * 3)]))
            elif which < 0.58:
                actions.append(("send", None))
            elif which < 0.7:
                actions.append(("send", self._ids[int(draw() * len(self._ids))]))
            elif which < 0.82:
                actions.append(("broadcast", self._room(), self._excluded()))
            elif which < 0.87:
                actions.append(("join", self._room()))
            elif which < 0.9:
                actions.append(("leave", self._room()))
            elif which < 0.945:
                actions.append(("close",))
            elif which < 0.99:
                actions.append(("kick", self._ids[int(draw() * len(self._ids))]))
            else:
                actions.append(("shutdown",))
        end = draw()
        how = "" if end > 0.1 else "raise" if end > 0.03 else "cancel" if end > 0.01 else "exit"
        taken = draw()
        on_cancel = "" if taken < 0.6 else "swallow" if taken < 0.75 else "clean up" if taken < 0.9 else "refuse"
        return Script(is_async, tuple(actions), how, on_cancel)
