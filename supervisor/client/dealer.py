"""`Dealer`: a client's DEALER socket with eyes for the connection: it never sends into the void.

Made by the control clients. Requests are given to ZeroMQ only while a server is connected, so that none is executed later,
after its caller was told that the server is away; and the end of the connection is seen at once.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress

import zmq
from zmq.utils.monitor import parse_monitor_message

from wspulse.actors.values.errors import ControlError
from wspulse.supervisor.protocol.address import Address
from wspulse.supervisor.protocol.received import Received

__all__ = ["Dealer", "end_context"]

_WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)

MOST_FAILED_HANDSHAKES = 3
"""In a row. A server that just ends or begins breaks one off, and nobody else so many: about 100 ms."""

RECONNECT_MS = 20
RECONNECT_MOST_MS = 500


def end_context(context: zmq.Context[zmq.Socket[bytes]], *, is_used_here: bool) -> None:
    """Fail what other threads wait for in a context, and return when they have closed their sockets.

    A socket belongs to the thread that uses it; only ending the context may be done beside that. Where this very thread uses
    one, which a signal's handler has come upon, it would wait for itself: then another thread waits.
    """
    if is_used_here:
        threading.Thread(target=context.term, name="wspulse client end", daemon=True).start()
    else:
        context.term()


class Dealer:
    """A connected socket and its monitor. Used by one thread at a time. Raises ControlError when none can be had now, and
    zmq.ContextTerminated when the context is being ended."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: Address, kind: int = zmq.DEALER) -> None:
        try:
            self._open(context, address, kind)
        except zmq.ContextTerminated:
            raise
        except zmq.ZMQError as error:
            # No descriptor is free, perhaps: the next attempt may succeed.
            raise ControlError(f"the control client failed: {error.strerror}") from None

    def _open(self, context: zmq.Context[zmq.Socket[bytes]], address: Address, kind: int) -> None:
        self._endpoint = address.endpoint
        self.socket: zmq.Socket[bytes] = context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MOST_MS)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.is_connected = False
        """Whether a server is, as far as `went_away` saw. ZeroMQ tells of an end before the socket itself takes it in: what is
        sent in between is lost."""
        self._is_refused = False
        self._failed_handshakes = 0
        """Since the last one that succeeded."""
        with ExitStack() as undo:
            # Whoever ends the context waits for sockets that are left open.
            undo.callback(self.socket.close, 0)
            self.monitor = self.socket.get_monitor_socket(_WATCHED)
            undo.callback(self.close)
            address.prepare(self.socket)
            self.socket.connect(address.endpoint)
            undo.pop_all()

    @property
    def is_readable(self) -> bool:
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    @property
    def is_writable(self) -> bool:
        """Whether a server is connected, so that it gets what is sent."""
        return self.is_connected and bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT)

    def went_away(self) -> bool:
        """Whether the connection ended since this was asked last."""
        ended = False
        for parts in Received(self.monitor):
            event = parse_monitor_message(parts)["event"]
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._is_refused = True
            elif event == zmq.EVENT_DISCONNECTED:
                ended, self.is_connected = True, False
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.is_connected = True
                self._is_refused, self._failed_handshakes = False, 0
            elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                # It was seen at this end, and ZeroMQ tries no more.
                self._failed_handshakes = MOST_FAILED_HANDSHAKES
            else:
                self._failed_handshakes += 1
        return ended

    @property
    def obstacle(self) -> str | None:
        """Why there will be no connection, as far as `went_away` saw: keys that do not fit. ZeroMQ may have given up by then: for
        another attempt, another socket is to be made."""
        if self._is_refused:
            return f"the server at {self._endpoint} does not accept this client's key"
        if self._failed_handshakes >= MOST_FAILED_HANDSHAKES:
            why = "its key is a different one, or only one side has keys"
            return f"the server at {self._endpoint} aborts every handshake: {why}"
        return None

    def close(self) -> None:
        with suppress(zmq.ZMQError):
            self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)
