"""What each option of `Server` means and why it has its default: one table for all documents, `--help` and `--explain`.

Defaults and what is allowed are those of `ServerOptions`; here is only said what they are called in a text.
"""

from __future__ import annotations

from typing import NamedTuple

from wspulse.actors.values.options.server_options import DEFAULTS, OPTION_KINDS

__all__ = ["OPTION_TABLE", "OptionRow"]


class OptionRow(NamedTuple):
    name: str
    default: str
    allowed: str
    meaning: str
    reason: str
    """Why the default is what it is."""
    help: str = ""
    """What `--help` says beside its flag; empty where there is none."""


def _row(name: str, meaning: str, reason: str, flag_help: str = "") -> OptionRow:
    kind = OPTION_KINDS[name]
    return OptionRow(name, kind.default_text(getattr(DEFAULTS, name)), kind.allowed, meaning, reason, flag_help)


OPTION_TABLE = (
    OptionRow(
        "connect",
        "required",
        "callable(request)",
        "who connects: returns (room_id, connection_id), (room_id, connection_id, state) or Accept; raises ConnectRejected",
        "only the application knows its users",
    ),
    _row(
        "resume_window",
        "how long a session whose transport is lost waits for its client to come back",
        "a waiting session uses memory and is still listed, so an application must opt in",
        "how long a lost session waits for its client to come back; 0: not at all",
    ),
    _row(
        "suspend_on_clean_close",
        "whether a clean close by the client (1000, or no code) suspends its session too, instead of ending it at once",
        "browsers close cleanly when a page is reloaded, and such a client comes back",
        "whether a clean close by the client suspends its session too",
    ),
    _row(
        "on_duplicate",
        "what a second connection with the id of a live one does: end the old session, take it over, or get 409",
        "as the Go original does",
        "what a second connection with the same id does",
    ),
    _row(
        "subprotocols",
        "the subprotocols that the server speaks, preferred ones first; the first one that the client offers is chosen",
        "most clients offer none",
        "a subprotocol that the server speaks, preferred ones first",
    ),
    _row(
        "ping_period",
        "the time between two pings to each client",
        "shorter than the idle timeouts of proxies and home routers",
        "the time between two pings",
    ),
    _row(
        "pong_wait",
        "a transport that leaves a ping unanswered for this long is dropped with 1011",
        "two pings may be lost on a bad network",
        "a ping that is unanswered for this long ends the connection",
    ),
    _row(
        "write_wait",
        "a client that takes nothing of a write for this long is cut off",
        "longer than a phone needs to change networks",
        "a write without progress for this long ends the connection",
    ),
    _row(
        "max_message_size",
        "the largest message that a client may send, all fragments together; a larger one closes with 1009",
        "small enough that a stranger cannot fill the memory; raise it to what your messages need",
        "the largest message that a client may send",
    ),
    _row(
        "send_buffer_size",
        "how many frames may wait for a client that does not read; beyond that, send raises and a broadcast drops the oldest",
        "a second or two of a busy room",
        "frames that may wait for one client",
    ),
    _row(
        "send_buffer_bytes",
        "how many bytes may wait for a client that does not read: a frame that no longer fits is refused, or pushes out "
        "the oldest; one frame always fits",
        "256 frames of 16 KiB; a client that does not read costs no more than that",
        "bytes that may wait for one client",
    ),
    _row(
        "max_rooms_per_connection",
        "how many rooms a connection may be in besides its first one; joining one more raises ValueError",
        "each takes about 200 bytes, and the first one of a worker in a room also takes a bus subscription",
        "rooms that a connection may join besides its first one",
    ),
    _row(
        "max_connections",
        "how many connections there may be, over all workers; one more is refused with 503; 0: no limit",
        "only the operator knows how much memory there is; `max_memory` limits the memory itself",
        "connections, over all workers; 0: no limit",
    ),
    _row(
        "max_connections_per_address",
        "how many connections may come from one address (for IPv6, from one /64 network); one more is refused with 429; "
        "0: no limit",
        "a whole household, a company or an unknown proxy may share one address",
        "connections from one address, over all workers; 0: no limit",
    ),
    _row(
        "accept_rate",
        "how many connections are accepted per second, over all workers; others wait in the kernel's queue; 0: no limit",
        "after a restart everybody comes back at once, and the server copes with that",
        "connections accepted per second, over all workers; 0: no limit",
    ),
    _row(
        "max_frames_per_second",
        "how many messages and pings of one connection are handled per second; a client that sends more is read more slowly, "
        "and closed with 1008 when it has sent too much for 10 s; 0: no limit",
        "only the application knows how much its clients have to say",
        "messages of one connection handled per second; 0: no limit",
    ),
    _row(
        "max_bytes_per_second",
        "how many bytes of one connection, as received from the network, are read per second; beyond that as with "
        "max_frames_per_second; keep it above max_message_size",
        "a handler that is behind slows its own client down anyway, so memory is bounded without it",
        "bytes of one connection read per second; 0: no limit",
    ),
    _row(
        "compression",
        "whether messages are compressed, in both directions, with clients that offer it (permessage-deflate, RFC 7692)",
        "it costs more CPU time than a fast network saves, and secrets next to a stranger's text may leak through the size",
        "compress messages with clients that offer it",
    ),
    _row(
        "codec",
        "how frames become messages: JSONCodec, MsgpackCodec, or your own with encode, decode and binary",
        "every client speaks JSON",
        "how frames are encoded",
    ),
    _row(
        "check_origin",
        "whether a page of this origin may connect; False answers 403",
        "clients other than browsers send no origin; restrict it where cookies identify users",
        "an origin whose pages may connect; default: all",
    ),
    _row(
        "handshake_timeout",
        "the time from the connection to the 101: reading the request, `connect`, joining the room",
        "a slow database in `connect` still fits",
        "the time from the connection to its complete upgrade",
    ),
    _row(
        "slow_handler",
        "an async callback that runs longer is named in a warning, with its connection and event; 0: never",
        "longer than a handler waits for a healthy database; meanwhile the next frames of its connection wait",
        "a handler that runs longer is named in the log; 0: never",
    ),
    _row(
        "handler_timeout",
        "an async on_message that runs longer (by up to a quarter) is cancelled, which counts as raising: 1011; 0: never",
        "only the application knows how long is too long, and what may be cut short",
        "an async on_message that runs longer is cancelled; 0: never",
    ),
    _row(
        "cancel_on_disconnect",
        "whether a running async on_message is cancelled when its session ends or its client has closed the connection",
        "a handler may be in the middle of something that must be finished even though the client has left",
        "whether a running on_message is cancelled when its client has left",
    ),
    _row(
        "access_log",
        "whether each upgrade, refusal and end of a connection is logged at level info, by the logger's child `access`",
        "busy servers have thousands of them per second",
        "whether each upgrade, refusal and end of a connection is logged",
    ),
    _row(
        "publish_messages",
        "whether each inbound frame is also published as an event on the control socket",
        "it costs a message per frame while somebody subscribes",
    ),
    _row(
        "http_app",
        "serves all requests on the same port except those for the WebSocket path and the server's pages; needs wspulse[http]",
        "most servers run beside an existing HTTP server",
        "an ASGI application to serve beside the WebSocket, on the same port",
    ),
    _row(
        "client",
        "whether the client for browsers is served: `/wspulse.js`, and its types, `/wspulse.d.ts`",
        "a page that imports it from its server always has the matching version",
        "serve /wspulse.js, the client for browsers",
    ),
    _row(
        "index",
        "whether `/` says in a sentence what this server is and where its WebSocket is, unless the application has a page there",
        "people open the address in a browser to see whether the server runs",
        "say at / what this server is and where its WebSocket is",
    ),
    _row(
        "logger",
        "where this server logs",
        "one name to configure",
    ),
)
