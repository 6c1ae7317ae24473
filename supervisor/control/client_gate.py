"""`ClientGate`: who of the clients is let in, where the control socket wants CURVE keys.

Created by the control plane, in whose loop it runs. It knows the keys that were read at the start and answers ZeroMQ's
own question; what a client may do once it is in, it does not decide.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq
from zmq.utils import z85

from wspulse.supervisor.protocol.curve import KeyPair
from wspulse.supervisor.protocol.lookout import Lookout
from wspulse.supervisor.protocol.received import Received

__all__ = ["ClientGate"]

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"wspulse"
KEY_BYTES = 32
DRAIN_BUDGET = 64
"""Questions answered in one go; then the loop's other work has its turn."""


class ClientGate:
    """Answers ZeroMQ's question whether a client with a public key may come in (ZAP, RFC 27), for one context."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        pair: KeyPair,
        allowed: frozenset[bytes],
        refused: Callable[[str, str], None],
    ) -> None:
        """`refused(key, address)` is told of each client that is not let in: its public key as the key files have it."""
        self._pair = pair
        self._allowed = frozenset(_binary(key) for key in allowed)
        self._refused = refused
        self._questions = context.socket(zmq.REP)
        self._questions.setsockopt(zmq.LINGER, 0)
        self._questions.bind(ZAP_ENDPOINT)
        self._lookout = Lookout(self._look, self._questions)
        self._lookout.open()

    def guard(self, guarded: zmq.Socket[bytes]) -> None:
        """Let only known clients into a socket; to be called before it is bound."""
        guarded.setsockopt(zmq.CURVE_SERVER, 1)
        guarded.setsockopt(zmq.CURVE_PUBLICKEY, self._pair.public)
        guarded.setsockopt(zmq.CURVE_SECRETKEY, self._pair.secret)
        guarded.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)

    def admit(self) -> tuple[bytes, KeyPair]:
        """Let one client more in, for as long as the gate lasts: returns the server's public key, and keys for that client."""
        pair = KeyPair(*zmq.curve_keypair())
        self._allowed |= {_binary(pair.public)}
        return self._pair.public, pair

    def close(self) -> None:
        """Let nobody in any more; idempotent."""
        if not self._lookout.is_closed:
            self._lookout.close()
            self._questions.close()

    def _look(self) -> None:
        received = Received(self._questions, DRAIN_BUDGET)
        for parts in received:
            request_id = parts[1] if len(parts) > 1 else b""
            known = len(parts) == 7 and parts[2] == DOMAIN and parts[5] == b"CURVE" and parts[6] in self._allowed
            status, text = (b"200", b"OK") if known else (b"400", b"unknown client")
            self._questions.send_multipart([b"1.0", request_id, status, text, b"", b""])
            if not known and len(parts) == 7 and len(parts[6]) == KEY_BYTES:
                self._refused(z85.encode(parts[6]).decode(), parts[3].decode("ascii", "replace"))
        if not received.is_all:
            self._lookout.again()


def _binary(key: bytes) -> bytes:
    decoded: bytes = z85.decode(key)
    return decoded
