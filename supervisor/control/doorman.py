"""`Doorman`: sees which clients do not get in at the control plane's sockets, counts them, and has the log say why.

Created by the control plane, in whose loop it runs. ZeroMQ tells it of handshakes that failed, the gate of keys that are not
listed. It lets nobody in and keeps nobody out.
"""

from __future__ import annotations

import logging
from time import monotonic

import zmq
from zmq.utils.monitor import parse_monitor_message

from wspulse.actors.values.log_limit import LogLimit
from wspulse.supervisor.protocol.lookout import Lookout
from wspulse.supervisor.protocol.received import Received

__all__ = ["Doorman"]

DRAIN_BUDGET = 64
"""Failures looked at in one go: a client with wrong keys comes again and again."""

QUIET_S = 60.0
"""In which there is one line of a kind; the next one says how many were left out."""

_REASONS: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "a control client was refused: it expects another server's key",
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "a control client was refused: only one side has keys",
}
_BROKEN_OFF = "a control client aborted the handshake: it may have no keys, or the wrong ones"
_NO_ZEROMQ = "a client of the control socket does not speak its protocol"

_logger = logging.getLogger("wspulse.control")


class Doorman:
    """See the module. `refused` counts who did not get in, from the first on."""

    def __init__(self) -> None:
        self.refused = 0
        self._log: dict[str, LogLimit] = {}
        self._watched: list[tuple[zmq.Socket[bytes], zmq.Socket[bytes], Lookout]] = []

    def watch(self, guarded: zmq.Socket[bytes], *, has_keys: bool) -> None:
        """Be told of the handshakes that fail at a socket, from now until `close`. With keys, those too that the other end breaks
        off: it may have seen first that the keys do not fit. Without, that is anybody who looks whether the socket is there."""
        events = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL if has_keys else 0)
        monitor = guarded.get_monitor_socket(events)
        lookout = Lookout(lambda: self._look(monitor, lookout), monitor)
        self._watched.append((guarded, monitor, lookout))
        lookout.open()

    def close(self) -> None:
        """Watch no more; to be called before the sockets are closed. Idempotent."""
        while self._watched:
            guarded, monitor, lookout = self._watched.pop()
            lookout.close()
            guarded.disable_monitor()
            monitor.close(0)

    def key_unknown(self, key: str, address: str) -> None:
        """The gate let a client not in, whose public key is not listed."""
        self._tell("a control client was refused: its key is not on the list", key=key, address=address)

    def _look(self, monitor: zmq.Socket[bytes], lookout: Lookout) -> None:
        received = Received(monitor, DRAIN_BUDGET)
        for parts in received:
            event = parse_monitor_message(parts)
            if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._tell(_BROKEN_OFF)
            else:
                self._tell(_REASONS.get(event["value"], _NO_ZEROMQ))
        if not received.is_all:
            lookout.again()

    def _tell(self, text: str, **fields: str) -> None:
        self.refused += 1
        not_logged = self._log.setdefault(text, LogLimit(1, window_s=QUIET_S)).admit(monotonic())
        if not_logged is not None:
            _logger.warning(text, extra={**fields, "not_logged": not_logged})
