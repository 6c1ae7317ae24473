"""`DealerPool`: the sockets with which one process asks a server, one for each call that runs.

Made by `Control`. It knows nothing of what is asked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from wspulse.supervisor.client.dealer import Dealer, end_context
from wspulse.supervisor.protocol.address import Address

__all__ = ["DealerPool"]

MOST_IDLE = 16
"""Sockets that are kept for later calls; there are as many as calls ran at once."""


class DealerPool:
    """For any number of threads. A fork's child makes its own: ZeroMQ's sockets do not survive that."""

    def __init__(self, address: Address) -> None:
        self.pid = os.getpid()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._address = address
        self._lock = threading.RLock()
        """Reentrant for a signal's handler, which may close in the middle of what its thread does here."""
        self._idle: list[Dealer] = []
        self._users: list[int] = []
        """The threads that have one."""
        self._closed = False

    @contextmanager
    def dealer(self) -> Iterator[Dealer]:
        """One for a call of this thread. When the call fails, it is not used again: what still comes for its request must
        not meet a later one. Raises zmq.ZMQError when the pool is closed, also in the middle of the call."""
        thread = threading.get_ident()
        with self._lock:
            self._users.append(thread)
        try:
            dealer = self._take()
            try:
                yield dealer
            except BaseException:
                dealer.close()
                raise
            self._keep(dealer)
        finally:
            with self._lock:
                self._users.remove(thread)

    def close(self) -> None:
        """End; idempotent. Calls under way fail with zmq.ZMQError; returns when they have let go of their sockets, unless this
        thread is in the middle of one itself."""
        if os.getpid() != self.pid:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
            is_in_use_here = threading.get_ident() in self._users
        for dealer in idle:
            dealer.close()
        end_context(self._context, is_used_here=is_in_use_here)

    def _take(self) -> Dealer:
        # In the lock: no socket is made in a context that is being ended.
        with self._lock:
            if self._closed:
                raise zmq.ContextTerminated
            return self._idle.pop() if self._idle else Dealer(self._context, self._address)

    def _keep(self, dealer: Dealer) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MOST_IDLE:
                self._idle.append(dealer)
                return
        dealer.close()
