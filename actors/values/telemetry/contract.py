"""The contract of everything that can be observed of a server: each measurement, and each event of the control socket.

The only list: the counters of `Metrics` are the sources of these rows and of no others, the control socket's `metrics` answers
with these rows, doc/reference/metrics.md is made of them, and the event feed publishes these kinds. Tests hold it against what
is counted and emitted. Nothing here counts or tells.
"""

from __future__ import annotations

from typing import NamedTuple

from wspulse.actors.values.telemetry.measurement import Kind, Measurement

__all__ = ["CLUSTER_LOSSES", "EVENTS", "MEASUREMENTS", "SUMS", "Event"]

SUMS = frozenset({"upgrades_refused"})
"""Counters for `stats` that are the sum of others, so that no measurement has them."""

CLUSTER_LOSSES = "cluster_losses"
"""The source of what the gateway counts."""

_ENDS = (
    "peer_closed",
    "connection_lost",
    "keepalive_timeout",
    "write_timeout",
    "protocol_error",
    "limited",
    "handler_raised",
    "expired",
    "closed",
    "kicked",
    "duplicate",
    "server_closed",
)

_WAITS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""For what clients and other workers wait for: between the way within a machine and the shortest of the deadlines."""

_HANDLING_S = (0.0001, 0.00025, 0.0005, *_WAITS_S, 30.0)
"""From a handler that computes a little to one that somebody should look at (`slow_handler`)."""

_STATUSES = ("400", "401", "403", "404", "405", "408", "409", "426", "429", "431", "500", "503", "505", "other")

MEASUREMENTS = (
    Measurement(
        name="wspulse_build_info",
        kind=Kind.GAUGE,
        meaning="always 1; its label `version` is the version of the server",
        label="version",
        per_shard=False,
    ),
    Measurement(
        name="wspulse_sessions",
        kind=Kind.GAUGE,
        meaning="sessions, `connected` or `suspended` (waiting for their clients)",
        label="state",
        sources={"connected": "connected", "suspended": "suspended"},
    ),
    Measurement(
        name="wspulse_rooms",
        kind=Kind.GAUGE,
        meaning="rooms that have members in this worker; one may have members in several",
        sources={"rooms": ""},
    ),
    Measurement(
        name="wspulse_queued_frames",
        kind=Kind.GAUGE,
        meaning="frames that wait for clients",
        sources={"queued": ""},
    ),
    Measurement(
        name="wspulse_links_down",
        kind=Kind.GAUGE,
        meaning="other workers that this one cannot reach",
        sources={"links_down": ""},
    ),
    Measurement(
        name="wspulse_memory_bytes",
        kind=Kind.GAUGE,
        meaning="resident memory of the worker",
        unit="bytes",
        sources={"rss_bytes": ""},
    ),
    Measurement(
        name="wspulse_upgrades_total",
        kind=Kind.COUNTER,
        meaning="requests by outcome: `accepted`; the status of a refusal (`other` for any other status); `no_http`, closed "
        "because no HTTP request came; `not_introduced`, closed because no PROXY header of a trusted proxy came",
        label="result",
        sources={
            "upgrades": "accepted",
            **{f"refused_{status}": status for status in _STATUSES},
            "no_http": "no_http",
            "not_introduced": "not_introduced",
        },
    ),
    Measurement(
        name="wspulse_upgrade_seconds",
        kind=Kind.HISTOGRAM,
        meaning="time from accepting a connection to its 101, including `connect` and a handover between workers",
        unit="seconds",
        bounds=_WAITS_S,
        on_demand=True,
    ),
    Measurement(
        name="wspulse_handovers_total",
        kind=Kind.COUNTER,
        meaning="upgrades handed over from another worker (`in`) or to another worker (`out`)",
        label="direction",
        sources={"handovers_in": "in", "handovers_out": "out"},
    ),
    Measurement(
        name="wspulse_frames_received_total",
        kind=Kind.COUNTER,
        meaning="frames received from clients",
        sources={"frames_in": ""},
    ),
    Measurement(
        name="wspulse_frames_sent_total",
        kind=Kind.COUNTER,
        meaning="frames written to clients' sockets; a broadcast counts once for each client",
        sources={"frames_out": ""},
    ),
    Measurement(
        name="wspulse_bytes_received_total",
        kind=Kind.COUNTER,
        meaning="bytes received from clients after the upgrade: frames with their headers, pings, pongs and close frames",
        unit="bytes",
        sources={"bytes_in": ""},
    ),
    Measurement(
        name="wspulse_bytes_sent_total",
        kind=Kind.COUNTER,
        meaning="bytes written to clients' sockets after the upgrade, of the same kinds",
        unit="bytes",
        sources={"bytes_out": ""},
    ),
    Measurement(
        name="wspulse_broadcasts_total",
        kind=Kind.COUNTER,
        meaning="frames broadcast by this worker, each counted once, however many receive it",
        sources={"broadcasts": ""},
    ),
    Measurement(
        name="wspulse_frames_dropped_total",
        kind=Kind.COUNTER,
        meaning="frames that were dropped. To clients: `buffer_full`, the oldest of a full send buffer. From clients: "
        "`undecodable`; `handler_behind`, read by a transport that was lost; `reserved`, with an event of the protocol; "
        "`unasked`, answers that no call waits for",
        label="reason",
        sources={
            "frames_dropped": "buffer_full",
            "frames_undecodable": "undecodable",
            "frames_in_dropped": "handler_behind",
            "frames_reserved": "reserved",
            "answers_dropped": "unasked",
        },
    ),
    Measurement(
        name="wspulse_disconnects_total",
        kind=Kind.COUNTER,
        meaning="sessions that ended: `peer_closed` (the client's close frame), `connection_lost`, `keepalive_timeout`, "
        "`write_timeout`, `protocol_error`, `limited` (it sent too much), `handler_raised`, `expired` (the resume window), "
        "`closed` and `kicked` by the application, `duplicate` (another connection with its id), `server_closed`. A session that "
        "is suspended or moves has not ended",
        label="reason",
        sources={f"ended_{end}": end for end in _ENDS},
    ),
    Measurement(
        name="wspulse_resumes_total",
        kind=Kind.COUNTER,
        meaning="clients that came back: `resumed` a suspended session, `replaced` a transport that seemed alive "
        '(`on_duplicate="resume"`), or `taken_over` one where sessions are not suspended; `unknown`: the exact session is '
        "over, and a new one begins",
        label="result",
        sources={
            "resumes_resumed": "resumed",
            "resumes_replaced": "replaced",
            "resumes_taken_over": "taken_over",
            "resumes_unknown": "unknown",
        },
    ),
    Measurement(
        name="wspulse_moves_total",
        kind=Kind.COUNTER,
        meaning="sessions that had to leave this worker for another: `moved`, or `closed` with 1012 because they could "
        "not move or were not meant to",
        label="result",
        sources={"moves_moved": "moved", "moves_closed": "closed"},
    ),
    Measurement(
        name="wspulse_move_seconds",
        kind=Kind.HISTOGRAM,
        meaning="how long sessions that moved away were paused",
        unit="seconds",
        bounds=_WAITS_S,
    ),
    Measurement(
        name="wspulse_peers_cut_total",
        kind=Kind.COUNTER,
        meaning="peers that were cut off: `stalled` (they took no data), `silent` (they answered no ping), `reset` (they did not "
        "read their close frame), `too_big` (a message over `max_message_size`), `protocol` (they broke the protocol)",
        label="reason",
        sources={
            "peers_stalled": "stalled",
            "peers_silent": "silent",
            "peers_reset": "reset",
            "messages_too_big": "too_big",
            "protocol_errors": "protocol",
        },
    ),
    Measurement(
        name="wspulse_pong_seconds",
        kind=Kind.HISTOGRAM,
        meaning="how long clients took to answer a ping",
        unit="seconds",
        bounds=_WAITS_S,
        on_demand=True,
    ),
    Measurement(
        name="wspulse_limited_total",
        kind=Kind.COUNTER,
        meaning="what a limit refused or delayed, by the limit",
        label="limit",
        prefix="limited_",
    ),
    Measurement(
        name="wspulse_handler_seconds",
        kind=Kind.HISTOGRAM,
        meaning="how long handlers of frames took, by their event in an event router, without its middleware; "
        "`event` is empty for a router's fallback and for an `on_message` without a router",
        unit="seconds",
        label="event",
        bounds=_HANDLING_S,
        on_demand=True,
    ),
    Measurement(
        name="wspulse_callbacks_raised_total",
        kind=Kind.COUNTER,
        meaning="errors raised by the application's callbacks",
        sources={"callbacks_raised": ""},
    ),
    Measurement(
        name="wspulse_slow_handlers_total",
        kind=Kind.COUNTER,
        meaning="callbacks that ran longer than `slow_handler`",
        sources={"slow_handlers": ""},
    ),
    Measurement(
        name="wspulse_loop_lag_seconds",
        kind=Kind.HISTOGRAM,
        meaning="how late the worker's event loop is, measured every half second",
        unit="seconds",
        bounds=_WAITS_S,
    ),
    Measurement(
        name="wspulse_bus_lag_seconds",
        kind=Kind.HISTOGRAM,
        meaning="how long a message of the bus takes to come back to the worker, measured every second; empty with one worker",
        unit="seconds",
        bounds=_WAITS_S,
    ),
    Measurement(
        name="wspulse_bus_messages_total",
        kind=Kind.COUNTER,
        meaning="messages on the bus between workers, each with the broadcasts of one moment to one room",
        label="direction",
        sources={"bus_messages_in": "in", "bus_messages_out": "out"},
    ),
    Measurement(
        name="wspulse_bus_gaps_total",
        kind=Kind.COUNTER,
        meaning="messages on the bus that should have arrived and did not; anything but 0 is a fault",
        sources={"bus_gaps": ""},
    ),
    Measurement(
        name="wspulse_bus_stalls_total",
        kind=Kind.COUNTER,
        meaning="how often the bus was stalled for this worker",
        sources={"bus_stalls": ""},
    ),
    Measurement(
        name="wspulse_events_dropped_total",
        kind=Kind.COUNTER,
        meaning="events for the control socket that the supervisor did not accept in time",
        sources={"events_dropped": ""},
    ),
    Measurement(
        name="wspulse_worker_restarts_total",
        kind=Kind.COUNTER,
        meaning="workers started again after a `crash`, after being `stuck` (`stall_timeout`) or after a `failed_start`; planned "
        "replacements do not count",
        label="reason",
        sources={"crash": "crash", "stuck": "stuck", "failed_start": "failed_start"},
        per_shard=False,
    ),
    Measurement(
        name="wspulse_cluster_losses_total",
        kind=Kind.COUNTER,
        meaning="how often broadcasts were lost on their way from the cluster to this host: gaps that NATS could not fill, and "
        "streams of which it has lost the memory; 0 without `--cluster`",
        sources={CLUSTER_LOSSES: ""},
        per_shard=False,
    ),
)


class Event(NamedTuple):
    """A kind of events on the control socket."""

    kind: str
    fields: tuple[str, ...]
    """Besides `kind`, `time`, `seq` and `prev`."""
    meaning: str


_SESSION = ("room", "connection", "shard")
_WORKER = ("shard", "pid")

EVENTS = (
    Event("connect", _SESSION, "a session has begun"),
    Event("message", (*_SESSION, "frame"), "a client has sent a frame"),
    Event("disconnect", (*_SESSION, "error"), "a session has ended"),
    Event("drop", (*_SESSION, "error"), "a session has lost its transport"),
    Event("restore", _SESSION, "a session has a transport again"),
    Event("transfer", _SESSION, "a session has moved to this worker"),
    Event("worker.started", _WORKER, "a worker's process runs"),
    Event("worker.ready", _WORKER, "a worker serves"),
    Event("worker.died", _WORKER, "a worker has crashed"),
    Event("worker.restarted", _WORKER, "a worker serves in the place of another, as planned"),
    Event("worker.moving", (*_WORKER, "is_over"), "a worker's sessions begin to move to others, or none does any more"),
)
