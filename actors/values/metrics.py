"""`Metrics`: what one shard counts. Plain integers, raised in place on the hot paths, read by `stats`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from wspulse.actors.values.telemetry.histogram import Histogram, Histograms

__all__ = ["Metrics"]


@dataclass(slots=True)
class Metrics:
    """Totals since the worker's start."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    """Of WebSocket connections, read from their sockets."""
    bytes_out: int = 0
    frames_dropped: int = 0
    """Frames that were dropped as the oldest of a full send buffer."""
    frames_undecodable: int = 0
    frames_in_dropped: int = 0
    """Frames that lost transports had read, and that a handler was too far behind to be given."""
    frames_reserved: int = 0
    """Frames of clients whose event is the protocol's own (`wspulse.…`) and means nothing: they reach no handler."""
    answers_dropped: int = 0
    """Answers to calls for which none waited: they came late, or twice, or to nothing that was asked."""
    peers_stalled: int = 0
    """Peers that were cut off since they took nothing for `write_wait`."""
    peers_silent: int = 0
    """Peers that were cut off since they left a ping unanswered for `pong_wait`."""
    peers_reset: int = 0
    """Peers that were told to go, and reset since they did not take what they were told."""
    messages_too_big: int = 0
    """Peers that were cut off since a message of theirs was over `max_message_size`."""
    protocol_errors: int = 0
    """Peers that were cut off since they broke the protocol."""
    limited_connections: int = 0
    """Upgrades that were refused with 503 for `max_connections`."""
    limited_connections_per_address: int = 0
    """Upgrades that were refused with 429 for `max_connections_per_address`."""
    limited_memory: int = 0
    """Upgrades that were refused with 503 while the server was above `max_memory`."""
    limited_accept_rate: int = 0
    """How often no more was accepted for a while, for `accept_rate`."""
    limited_rooms: int = 0
    """Joins that were refused for `max_rooms_per_connection`."""
    limited_reading: int = 0
    """How often a client began to send more than it may (`max_frames_per_second`, `max_bytes_per_second`), and was read more
    slowly."""
    limited_messages: int = 0
    """Clients that did so for 10 s, and were closed with 1008."""
    callbacks_raised: int = 0
    """Errors of the application's callbacks; not that a callback sent to its own session, which had ended meanwhile."""
    slow_handlers: int = 0
    """Callbacks that ran longer than `slow_handler`."""
    upgrades: int = 0
    upgrades_refused: int = 0
    """Answers in HTTP that refused something; these are their statuses."""
    refused_400: int = 0
    refused_401: int = 0
    refused_403: int = 0
    refused_404: int = 0
    refused_405: int = 0
    refused_408: int = 0
    refused_409: int = 0
    refused_426: int = 0
    refused_429: int = 0
    refused_431: int = 0
    refused_500: int = 0
    refused_503: int = 0
    refused_505: int = 0
    refused_other: int = 0
    no_http: int = 0
    """Connections that were closed at once, since they began with what can begin no request: TLS, or any other protocol."""
    not_introduced: int = 0
    """Connections that were closed at once, since they did not begin with the PROXY header of a trusted proxy."""
    ended_peer_closed: int = 0
    """Sessions that ended, by the reason; one that moves to another process does not end."""
    ended_connection_lost: int = 0
    ended_keepalive_timeout: int = 0
    ended_write_timeout: int = 0
    ended_protocol_error: int = 0
    ended_limited: int = 0
    ended_handler_raised: int = 0
    ended_expired: int = 0
    ended_closed: int = 0
    ended_kicked: int = 0
    ended_duplicate: int = 0
    ended_server_closed: int = 0
    resumes_resumed: int = 0
    """Clients that came back, by what became of it."""
    resumes_replaced: int = 0
    resumes_taken_over: int = 0
    resumes_unknown: int = 0
    moves_moved: int = 0
    """Sessions that were to move to another process."""
    moves_closed: int = 0
    broadcasts: int = 0
    """Frames that this shard has broadcast, for clients of its own and for others."""
    handovers_out: int = 0
    handovers_in: int = 0
    bus_messages_in: int = 0
    bus_messages_out: int = 0
    bus_gaps: int = 0
    """Bus messages that should have come and did not. Anything but 0 is a fault."""
    bus_stalls: int = 0
    """How often the bus stood still: nothing that this shard published came back for seconds."""
    events_dropped: int = 0
    histograms: Histograms = field(default_factory=Histograms)
    """How long things took."""
    upgrade_times: Histogram | None = None
    """What is measured only where somebody looks, since it costs something at each upgrade and each pong."""
    pong_times: Histogram | None = None

    def measure(self) -> None:
        """Somebody looks: measure from now on what is not measured else."""
        self.upgrade_times = self.histograms.of("wspulse_upgrade_seconds")
        self.pong_times = self.histograms.of("wspulse_pong_seconds")

    def counted(self) -> dict[str, Any]:
        """All numbers by name. They are counters: what is added here never falls while the worker lives."""
        return {name: getattr(self, name) for name in _COUNTERS}


_COUNTERS = tuple(item.name for item in fields(Metrics) if item.default == 0)
