"""What telemetry calls the loss of a transport that ended its session: a value without I/O."""

from __future__ import annotations

from wspulse.actors.values.errors import (
    ConnectionLostError,
    KeepaliveTimeoutError,
    PeerClosedError,
    ProtocolError,
    WriteTimeoutError,
)

__all__ = ["name_of_loss"]

_TOO_MUCH = 1008

_NAMES: dict[type[object], str] = {
    type(None): "peer_closed",
    PeerClosedError: "peer_closed",
    ConnectionLostError: "connection_lost",
    KeepaliveTimeoutError: "keepalive_timeout",
    WriteTimeoutError: "write_timeout",
    ProtocolError: "protocol_error",
}


def name_of_loss(error: BaseException | None) -> str:
    """By the error that on_disconnect gets; one that is not a transport's is that of a handler."""
    if isinstance(error, ProtocolError) and error.close_code == _TOO_MUCH:
        return "limited"
    return _NAMES.get(type(error), "handler_raised")
