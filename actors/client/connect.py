"""`connect`: a line to a server. It checks what it was given and puts the line together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from wspulse.actors.client.carrier import Carrier, ShouldRetry
from wspulse.actors.client.clock import Clock
from wspulse.actors.client.delays import Delays, Retry
from wspulse.actors.client.dial import Dialer, Url, websocket_url
from wspulse.actors.client.line import Line
from wspulse.actors.client.outbox import Outbox
from wspulse.actors.client.session import LineSession
from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec

__all__ = ["connect"]


def connect(
    url: Url,
    *,
    codec: Codec | None = None,
    subprotocols: Sequence[str] = (),
    exact: bool = True,
    retry: Retry | None = None,
    should_retry: ShouldRetry | None = None,
    buffer: int = 4096,
    buffer_bytes: int = 16 << 20,
    clock: Clock | None = None,
    **options: Any,
) -> Line:
    """A line to a server, for use as a context: `async with connect("ws://127.0.0.1:8000/ws?room=tea") as line:`.

    It starts to connect when it is entered, and does not wait for that (`await line.ready` does). It reconnects by itself, to
    the same session if the server keeps one, until `line.close`, the end of the context, or an end that would only repeat
    itself: close codes 1000, 1002, 1003, 1007 to 1009 and 4000 to 4999, or an upgrade refused with 401 or 403.

    `url` may be a function, async or not, which is called before each attempt. `codec` is the server's: JSONCodec() (default),
    MsgpackCodec(), RawCodec(), or your own. With `exact=False` the protocol in which nothing is lost or doubled is not offered;
    nor is it with codecs other than JSON and msgpack. `should_retry(code, reason)` may return True or False after an end, or
    None to leave it to the line; `code` is the HTTP status if the upgrade was refused. Up to `buffer` frames, of `buffer_bytes`
    in all, may wait to be sent or acknowledged. `clock` is for tests.

    All further `options` go to `websockets.asyncio.client.connect`: `additional_headers`, `ssl`, `proxy`, `origin`, `max_size`
    (16 MiB here), `open_timeout` (10 s), `compression` (None here), …

    Raises ValueError and TypeError for invalid arguments.
    """
    if isinstance(url, str):
        try:
            parse_uri(websocket_url(url))
        except InvalidURI as error:
            raise ValueError(f"wspulse: connect: {error}") from None
    elif not callable(url):
        raise TypeError(f"wspulse: connect: url must be a str or a function, not {type(url).__name__}")
    for name, value in (("buffer", buffer), ("buffer_bytes", buffer_bytes)):
        if type(value) is not int or value < 1:
            raise ValueError(f"wspulse: connect: {name} must be a whole number of at least 1, not {value!r}")
    if isinstance(subprotocols, str):
        raise TypeError("wspulse: connect: subprotocols must be a list of names, not a str")
    codec = codec or JSONCodec()
    clock = clock or Clock()
    carrier = Carrier(
        Dialer(url, subprotocols, options, clock),
        LineSession(Outbox(buffer, buffer_bytes)),
        codec,
        clock,
        Delays(retry or Retry(), clock.draw),
        offers_exact=exact and isinstance(codec, (JSONCodec, MsgpackCodec)),
        should_retry=should_retry,
    )
    return Line(carrier, url if isinstance(url, str) else repr(url))
