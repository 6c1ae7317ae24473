"""`Agreement`: what a client and the server have agreed on about compression (RFC 7692 §5 and §7.1), and how the 101 says so.

Made for a newcomer where the server has the option, from the head of its request. Nothing here reads a socket or an option.
"""

from __future__ import annotations

from re import IGNORECASE
from re import compile as _pattern
from typing import Final, NamedTuple

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from wspulse.actors.wire.answer import HTTPAnswer

__all__ = ["NO_AGREEMENT", "Agreement", "agreed"]

_HEADER: Final = "Sec-WebSocket-Extensions"

_lines_of = _pattern(rb"\r\nsec-websocket-extensions:[ \t]*+([^\r]*)", IGNORECASE).findall

_factory = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


class Agreement(NamedTuple):
    """Neither side keeps a context, which each may demand of the other (§7.1.1); so this is all that a transport has to know."""

    window_bits: int
    """Of the server's window, 9 to 15. 0: nothing is compressed."""
    headers: tuple[tuple[str, str], ...]
    """That the 101 says it with."""


NO_AGREEMENT: Final = Agreement(0, ())


def agreed(head: bytes) -> Agreement | HTTPAnswer:
    """Accept the first offer that can be met, in a head that `check_request` has let pass. One that cannot, since zlib has no
    window of 8 bits or since it says what RFC 7692 does not, is declined, and so is any other extension. A header that is
    malformed (RFC 6455 §9.1) is answered 400."""
    values = _lines_of(head)
    if not values:
        return NO_AGREEMENT
    try:
        offers = parse_extension(b", ".join(values).decode("latin-1"))
    except InvalidHeader:
        return HTTPAnswer(400, f"{_HEADER} is malformed")
    for name, parameters in offers:
        if name != _factory.name:
            continue
        try:
            answer, extension = _factory.process_request_params(parameters, ())
        except NegotiationError:
            continue
        return Agreement(extension.local_max_window_bits, ((_HEADER, build_extension([(name, answer)])),))
    return NO_AGREEMENT
