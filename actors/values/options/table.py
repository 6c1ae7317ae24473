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
        "says who connects: (room_id, connection_id), (room_id, connection_id, state) or Accept; ConnectRejected refuses",
        "only the application knows its users",
    ),
    _row(
        "resume_window",
        "how long a session whose transport is lost waits for its client to come back",
        "a session that waits costs memory and is still listed; an application has to want that",
        "how long a lost session waits for its client; 0: it does not",
    ),
    _row(
        "suspend_on_clean_close",
        "whether a client that closes with 1000 or without a code suspends its session too, or ends it at once",
        "browsers close cleanly when a page is reloaded, and such a client comes back",
        "whether a close by the client suspends its session too",
    ),
    _row(
        "on_duplicate",
        "what a second connection with the id of a live one does: ends the old session, takes it over, or gets 409",
        "as the Go original does",
        "what a second connection of one id does",
    ),
    _row(
        "subprotocols",
        "the subprotocols that are offered, the best first; the first that the client names is chosen",
        "most clients name none",
        "a subprotocol that is offered, the best first",
    ),
    _row(
        "ping_period",
        "the time between two pings to each client",
        "below the idle timeouts of proxies and of home routers",
        "between two pings",
    ),
    _row(
        "pong_wait",
        "a transport that leaves a ping unanswered for so long is dropped with 1011",
        "two pings may be lost on a bad network",
        "a ping without an answer ends the connection after this",
    ),
    _row(
        "write_wait",
        "a client that takes nothing of a write for so long is cut off",
        "longer than a phone needs to change its network",
        "a write without progress ends the connection after this",
    ),
    _row(
        "max_message_size",
        "the largest message that a client may send, defragmented; more closes with 1009",
        "small enough that a stranger cannot fill the memory; raise it to what your messages need",
        "the largest message that a client may send",
    ),
    _row(
        "send_buffer_size",
        "how many frames wait for a client that does not take them; then send raises and a broadcast drops the oldest",
        "a second or two of a busy room",
        "frames that may wait for one client",
    ),
    _row(
        "send_buffer_bytes",
        "the same in bytes: a frame that no longer fits is refused, or pushes out the oldest; one frame always fits",
        "256 frames of 16 KiB; a client that does not read costs no more than that",
        "bytes that may wait for one client",
    ),
    _row(
        "max_rooms_per_connection",
        "how many rooms a connection may be in beside its first one; joining one more is a ValueError",
        "each costs some 200 bytes, and the worker's place on the bus where nobody else there is in it",
        "rooms that a connection may join beside its first one",
    ),
    _row(
        "max_connections",
        "how many connections there may be, over all workers; one more is refused with 503; 0: any number",
        "only the operator knows how much memory there is; `max_memory` looks at that itself",
        "connections, over all workers; 0: any number",
    ),
    _row(
        "max_connections_per_address",
        "how many of them may come from one address, the first 64 bits of it where it is of IPv6; one more is refused with 429; "
        "0: any number",
        "behind one address may be a household, a company, or a proxy that is not known to be one",
        "connections of one address, over all workers; 0: any number",
    ),
    _row(
        "accept_rate",
        "how many connections are accepted in a second, over all workers; others wait in the queue of the kernel; 0: any number",
        "a server that was just started has everybody come back at once, and copes with that",
        "connections that are accepted in a second, over all workers; 0: any number",
    ),
    _row(
        "max_frames_per_second",
        "how many messages and pings of one connection are handled in a second; one that sends more is read more slowly, and "
        "closed with 1008 when it has sent too much for 10 s; 0: any number",
        "only the application knows what its clients have to say",
        "messages of one connection that are handled in a second; 0: any number",
    ),
    _row(
        "max_bytes_per_second",
        "the same in bytes as they come from the network; keep it above max_message_size",
        "a handler that is behind slows its own client down already, so that memory is bounded without it",
        "bytes of one connection that are read in a second; 0: any number",
    ),
    _row(
        "compression",
        "whether messages are compressed, both ways, with clients that offer it (permessage-deflate, RFC 7692)",
        "it costs more processor time than it saves in a fast network, and secrets beside a stranger's text may leak by size",
        "compress messages with clients that offer it",
    ),
    _row(
        "codec",
        "how frames become messages: JSONCodec, MsgpackCodec, or yours with encode, decode and binary",
        "every client speaks JSON",
        "how frames are encoded",
    ),
    _row(
        "check_origin",
        "whether a page of this origin may connect; False is answered 403",
        "clients that are no browsers send no origin; tighten it where cookies identify users",
        "an origin whose pages may connect; default: all",
    ),
    _row(
        "handshake_timeout",
        "the time from the connection to the 101: reading the request, `connect`, joining the room",
        "a slow database in `connect` still fits",
        "from the connection to its complete upgrade",
    ),
    _row(
        "slow_handler",
        "an async callback that runs longer is named in a warning, with its connection and event; 0: none is",
        "longer than a handler waits for a database that is well; its connection is deaf meanwhile",
        "a handler that runs longer is named in the log; 0: none is",
    ),
    _row(
        "handler_timeout",
        "an async on_message that runs longer (by up to a quarter) is cancelled, which counts as raising: 1011; 0: none is",
        "only the application knows what is too long for it, and what may be cut short",
        "an async on_message that runs longer is cancelled; 0: none is",
    ),
    _row(
        "cancel_on_disconnect",
        "whether an async on_message that runs is cancelled when its session ends or its client has closed the connection",
        "a handler may be in the middle of what has to be finished, whoever has left",
        "whether an on_message is cancelled when its client has left",
    ),
    _row(
        "access_log",
        "whether each upgrade, each refusal and each end of a connection is logged at info, by the logger's child `access`",
        "busy servers have thousands of them per second",
        "whether each upgrade, refusal and end is logged",
    ),
    _row(
        "publish_messages",
        "whether each inbound frame is also published as an event on the control socket",
        "it costs a message per frame while somebody subscribes",
    ),
    _row(
        "http_app",
        "served on the same port: every request that is not for the WebSocket path or a page of the server; needs wspulse[http]",
        "most servers stand beside an HTTP server that is there already",
        "an ASGI application to serve beside the WebSocket, on the same port",
    ),
    _row(
        "client",
        "whether `/wspulse.js` and its types, `/wspulse.d.ts`, are served, the client for browsers",
        "a page that imports it from its server has the one that fits",
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
