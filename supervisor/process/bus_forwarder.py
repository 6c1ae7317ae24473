"""`BusForwarder`: the middle of the room bus, PULL → PUB in a thread of the supervisor.

Created and stopped by the supervisor, only when there is more than one worker. Every worker pushes to it and subscribes
to it, its own frames included, so that all shards see all broadcasts in one order. It runs in C without the GIL and reads
no message. Nothing is dropped: the pull side has a high-water mark, at which the senders wait, and the publishing side none,
since there it would drop silently (senders watch how far the receivers are). It ends with `stop` only: no fault of the moment
leaves a server without its bus.
"""

from __future__ import annotations

import logging
import threading
import time

import zmq

__all__ = ["BusForwarder"]

PULL_HIGH_WATER_MESSAGES = 1000
"""ZeroMQ's default, per sender. Enough to keep the thread busy while a sender's turn ends, and small, since what waits
here is not seen by the flow control between the workers."""

AGAIN_S = 1.0

_logger = logging.getLogger("wspulse.supervisor")


class BusForwarder:
    """Forwards from its construction until `stop()`. Raises zmq.ZMQError when a path cannot be bound."""

    def __init__(self, push_path: str, subscribe_path: str) -> None:
        self.push_endpoint = f"ipc://{push_path}"
        """Where workers PUSH."""
        self.subscribe_endpoint = f"ipc://{subscribe_path}"
        """Where workers SUBscribe."""
        self._context = zmq.Context()
        try:
            pull = self._context.socket(zmq.PULL)
            pull.setsockopt(zmq.LINGER, 0)
            pull.setsockopt(zmq.RCVHWM, PULL_HIGH_WATER_MESSAGES)
            pull.bind(self.push_endpoint)
            publish = self._context.socket(zmq.PUB)
            publish.setsockopt(zmq.LINGER, 0)
            publish.setsockopt(zmq.SNDHWM, 0)
            publish.bind(self.subscribe_endpoint)
        except zmq.ZMQError:
            self._context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=_forward, args=(pull, publish), name="wspulse bus", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets, whose files stay. What is still on its way is lost."""
        self._context.term()  # makes the proxy raise; waits until both sockets are closed
        self._thread.join()


def _forward(pull: zmq.Socket[bytes], publish: zmq.Socket[bytes]) -> None:
    try:
        while True:
            try:
                zmq.proxy(pull, publish)
            except zmq.ContextTerminated:
                return
            except zmq.ZMQError as error:
                _logger.error("the bus failed; it goes on in a moment", extra={"reason": str(error)})
            time.sleep(AGAIN_S)
    finally:
        pull.close()
        publish.close()
