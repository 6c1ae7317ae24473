"""`checked_headers`: the header fields that an application adds to an answer of ours in HTTP. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["Headers", "checked_headers", "is_token"]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Names and values; a name may come more than once as a pair, as Set-Cookie does."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_OURS = re.compile(r"(?i:upgrade|connection|content-(length|type|encoding)|transfer-encoding|sec-websocket-.*)")


def checked_headers(headers: Headers, where: str) -> tuple[tuple[str, str], ...]:
    """Raises TypeError and ValueError for what no response may have, and for what the handshake itself says."""
    if not isinstance(headers, Iterable):
        raise TypeError(f"wspulse: {where}: headers must be a mapping or pairs of str, not {headers!r}")
    pairs = []
    for pair in headers.items() if isinstance(headers, Mapping) else headers:
        if not _is_pair(pair):
            raise TypeError(f"wspulse: {where}: a header must be a pair of str, not {pair!r}")
        name, value = pair
        if not is_token(name):
            raise ValueError(f"wspulse: {where}: {name!r} is not a valid header name")
        if _OURS.fullmatch(name) is not None:
            raise ValueError(f"wspulse: {where}: the header {name} is set by the handshake itself")
        if _VALUE.fullmatch(value) is None:
            raise ValueError(
                f"wspulse: {where}: the value of the header {name} contains a character that is not allowed"
            )
        pairs.append((name, value))
    return tuple(pairs)


def is_token(text: object) -> bool:
    """As RFC 9110 §5.6.2 has it: names of headers and of subprotocols are."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
