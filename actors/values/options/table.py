"""What each option of `Server` means, allows and defaults to, and why: one table for all documents and for `--explain`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OPTION_TABLE", "OptionRow"]


class OptionRow(NamedTuple):
    name: str
    default: str
    allowed: str
    meaning: str
    reason: str
    """Why the default is what it is."""


OPTION_TABLE = (
    OptionRow(
        "connect",
        "required",
        "callable(request)",
        "says who connects: (room_id, connection_id) or (room_id, connection_id, state); ConnectRejected refuses",
        "only the application knows its users",
    ),
    OptionRow(
        "resume_window",
        "0 s (off)",
        "0 … 180 s",
        "how long a session whose transport is lost waits for its client to come back",
        "a session that waits costs memory and is still listed; an application has to want that",
    ),
    OptionRow(
        "suspend_on_clean_close",
        "True",
        "bool",
        "whether a client that closes with 1000 or without a code suspends its session too, or ends it at once",
        "browsers close cleanly when a page is reloaded, and such a client comes back",
    ),
    OptionRow(
        "on_duplicate",
        '"kick"',
        '"kick", "resume", "reject"',
        "what a second connection with the id of a live one does: ends the old session, takes it over, or gets 409",
        "as the Go original does",
    ),
    OptionRow(
        "subprotocols",
        "none",
        "sequence of tokens",
        "the subprotocols that are offered, the best first; the first that the client names is chosen",
        "most clients name none",
    ),
    OptionRow(
        "ping_period",
        "10 s",
        "above 0, up to 300 s",
        "the time between two pings to each client",
        "below the idle timeouts of proxies and of home routers",
    ),
    OptionRow(
        "pong_wait",
        "30 s",
        "above ping_period, up to 600 s",
        "a transport from which no pong came for so long is dropped with 1011",
        "two pings may be lost on a bad network",
    ),
    OptionRow(
        "write_wait",
        "10 s",
        "above 0, up to 30 s",
        "a client that takes nothing of a write for so long is cut off",
        "longer than a phone needs to change its network",
    ),
    OptionRow(
        "max_message_size",
        "512 bytes",
        "1 … 67108864 bytes",
        "the largest message that a client may send, defragmented; more closes with 1009",
        "small enough that a stranger cannot fill the memory; raise it to what your messages need",
    ),
    OptionRow(
        "send_buffer_size",
        "256 frames",
        "1 … 4096 frames",
        "how many frames wait for a client that does not take them; then send raises and a broadcast drops the oldest",
        "a second or two of a busy room",
    ),
    OptionRow(
        "codec",
        "JSONCodec()",
        "a codec",
        "how frames become messages: JSONCodec, MsgpackCodec, or yours with encode, decode and binary",
        "every client speaks JSON",
    ),
    OptionRow(
        "check_origin",
        "allow all",
        "callable(request) -> bool",
        "whether a page of this origin may connect; False is answered 403",
        "clients that are no browsers send no origin; tighten it where cookies identify users",
    ),
    OptionRow(
        "handshake_timeout",
        "10 s",
        "above 0, up to 60 s",
        "the time from the connection to the 101: reading the request, `connect`, joining the room",
        "a slow database in `connect` still fits",
    ),
    OptionRow(
        "publish_messages",
        "False",
        "bool",
        "whether each inbound frame is also published as an event on the control socket",
        "it costs a message per frame while somebody subscribes",
    ),
    OptionRow(
        "http_app",
        "none",
        "an ASGI application",
        "served on the same port: every request that is not for the WebSocket path or a page of the server; needs wspulse[http]",
        "most servers stand beside an HTTP server that is there already",
    ),
    OptionRow(
        "logger",
        'logging.getLogger("wspulse")',
        "a logger",
        "where this server logs",
        "one name to configure",
    ),
)
