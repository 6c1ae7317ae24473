"""`BusForwarder`: the middle of the room bus, PULL → PUB in a thread of the supervisor.

Created and stopped by the supervisor, only when there is more than one worker. Every worker pushes to it and subscribes
to it, its own frames included, so that all shards see all broadcasts in one order. It runs in C without the GIL and reads
no message. Nothing is dropped: the pull side has a high-water mark, at which the senders wait, and the publishing side none,
since there it would drop silently (senders watch how far the receivers are). It ends with `stop` only: no fault of the moment
leaves a server without its bus. Who is connected stays so when the files of its sockets are removed; for those who come later
they are bound again.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from pathlib import Path

import zmq

from wspulse.supervisor.errors import StartError

__all__ = ["BusForwarder"]

PULL_HIGH_WATER_MESSAGES = 1000
"""ZeroMQ's default, per sender. Enough to keep the thread busy while a sender's turn ends, and small, since what waits
here is not seen by the flow control between the workers."""

AGAIN_S = 1.0
"""After a fault."""

ORDERS = "inproc://orders"

LEAVE_PROXY = b"TERMINATE"
"""What makes ZeroMQ's proxy return, between two messages."""

_logger = logging.getLogger("wspulse.supervisor")


class BusForwarder:
    """Forwards from its construction until `stop()`. Raises StartError when a path cannot be bound."""

    def __init__(self, push_path: str, subscribe_path: str) -> None:
        self.paths = (push_path, subscribe_path)
        """The files of its sockets."""
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
            orders = self._context.socket(zmq.PAIR)
            orders.bind(ORDERS)
            self._orders = self._context.socket(zmq.PAIR)
            self._orders.setsockopt(zmq.LINGER, 0)
            self._orders.connect(ORDERS)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise StartError(f"the bus cannot be opened at {push_path}: {os.strerror(error.errno or 0)}") from None
        self._thread = threading.Thread(
            target=_forward, args=(pull, publish, orders, self.paths), name="wspulse bus", daemon=True
        )
        self._thread.start()

    def rebind(self) -> None:
        """Have the thread bind what is not at its path any more, soon; nothing is lost meanwhile. Whether it could is seen
        by the files."""
        try:
            self._orders.send(LEAVE_PROXY, zmq.NOBLOCK)
        except zmq.Again:
            pass  # many such orders wait already

    def stop(self) -> None:
        """End the thread and close the sockets, whose files stay. What is still on its way is lost."""
        self._orders.close()
        self._context.term()  # makes the proxy raise; waits until all sockets are closed
        self._thread.join()


def _forward(
    pull: zmq.Socket[bytes], publish: zmq.Socket[bytes], orders: zmq.Socket[bytes], paths: tuple[str, str]
) -> None:
    try:
        while True:
            try:
                _proxy(pull, publish, orders)
            except zmq.ContextTerminated:
                raise
            except zmq.ZMQError as error:
                _logger.error("the bus failed and is restarted", extra={"reason": str(error)})
                time.sleep(AGAIN_S)
                continue
            for bound, path in zip((pull, publish), paths, strict=True):
                _bind_again(bound, path)
    except zmq.ContextTerminated:
        pass
    finally:
        for each in (pull, publish, orders):
            each.close()


def _proxy(pull: zmq.Socket[bytes], publish: zmq.Socket[bytes], orders: zmq.Socket[bytes]) -> None:
    """Forward until there is an order, or the context ends."""
    try:
        zmq.proxy_steerable(pull, publish, None, orders)
    except zmq.ZMQError as error:
        if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP, zmq.ENOTSUP):
            raise
        zmq.proxy(pull, publish)  # a ZeroMQ without orders: then nothing is bound again


def _bind_again(bound: zmq.Socket[bytes], path: str) -> None:
    """The socket that has no file any more stays open, since closing it would end the connections that came in there."""
    if Path(path).is_socket():
        return
    try:
        bound.bind(f"ipc://{path}")
    except zmq.ContextTerminated:
        raise
    except zmq.ZMQError:
        pass  # whoever looks after the files tells it
