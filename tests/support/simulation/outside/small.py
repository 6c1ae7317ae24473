"""What is small in a simulation that is large of a real server, and what stands for the kernel and the log there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.support.simulation.model.calls import MORE_FRAMES
from tests.support.simulation.model.patience import FAR_BYTES
from tests.support.simulation.outside.codec import SimCodec
from wspulse.actors.sessions.asking import asking_inbox
from wspulse.actors.sessions.exact import token
from wspulse.actors.transport import client, outlet, transport
from wspulse.actors.transport.patience import doubt
from wspulse.actors.transport.throttling import throttle
from wspulse.actors.values.options.server_options import ServerOptions

if TYPE_CHECKING:
    from tests.support.simulation.model.model import Model

__all__ = ["HANDSHAKE_TIMEOUT_S", "logger", "server_options", "small_world"]

HANDSHAKE_TIMEOUT_S = 10.0


class SimLogger(logging.Logger):
    """Hears what the shard logs; `model` is that of the history that runs."""

    model: Model

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        # The first are counted, since not all are logged; the second are the model's to expect.
        if msg != "callback raised" and "does not react to being cancelled" not in str(msg):
            self.model.fail(f"logged as an error: {msg} {kwargs}")

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        import sys

        self.model.fail(f"logged with a traceback: {msg}: {sys.exc_info()[1]!r}")

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        pass


logger = SimLogger("simulation")


@lru_cache(maxsize=4096)
def server_options(
    resume_window: float,
    suspend_on_clean_close: bool,
    on_duplicate: str,
    send_buffer_size: int,
    pong_wait: float,
    write_wait: float,
    handler_timeout: float = 0.0,
    cancel_on_disconnect: bool = False,
    max_frames_per_second: int = 0,
) -> ServerOptions:
    return ServerOptions(
        resume_window=resume_window,
        suspend_on_clean_close=suspend_on_clean_close,
        on_duplicate=on_duplicate,
        send_buffer_size=send_buffer_size,
        ping_period=5.0,
        pong_wait=pong_wait,
        write_wait=write_wait,
        handshake_timeout=HANDSHAKE_TIMEOUT_S,
        handler_timeout=handler_timeout,
        cancel_on_disconnect=cancel_on_disconnect,
        max_frames_per_second=max_frames_per_second,
        codec=SimCodec(),
        logger=logger,
    )


_SMALL: tuple[tuple[object, str, object], ...] = (
    (transport, "AHEAD_BYTES", 12),
    (transport, "TURN_FRAMES", 3),
    (transport, "TURN_BYTES", 60),
    (asking_inbox, "MORE_FRAMES", MORE_FRAMES),
    (doubt, "_FAR_BYTES", FAR_BYTES),
    (throttle, "PATIENCE_S", 1e9),
    (client, "_BEHIND_BYTES", FAR_BYTES),
    (client, "_asked", lambda socket, question: 0 if socket is None else socket.kernel_says(question)),
    (outlet, "taken_bytes", lambda socket: 0 if socket is None else socket.taken_bytes),
)
"""What is large of a real connection, and cut small here: messages ahead of the 101, a socket's share of a turn, what may lie
before a ping. Peers that send too much are held up, and never closed for it. And the kernel, which is asked what it holds."""


@contextmanager
def small_world(more: tuple[tuple[object, str, object], ...] = ()) -> Iterator[None]:
    """Of one history, whose tokens are the same each time."""
    secrets = count()
    small = (*_SMALL, *more, (token, "token_urlsafe", lambda _size: f"{next(secrets):022}"))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in small]
    for owner, name, value in small:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
