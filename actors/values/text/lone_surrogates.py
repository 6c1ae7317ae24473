r"""JSON with halves of surrogate pairs in it, as `"\ud83d"`: what a browser sends whose text was cut inside an emoji.

RFC 8259 §8.2 allows it and msgspec does not read it, not even where it only passes over a value. Codecs and the control
socket come here with what a decoder has refused, so what is read at once pays nothing. It never logs and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from json import JSONDecoder
from re import Match
from re import compile as _pattern
from typing import Any, TypeVar

import msgspec

__all__ = ["decode_json", "read_with_lone_surrogates", "without_lone_surrogates"]

T = TypeVar("T")
Read = TypeVar("Read", bound=msgspec.Struct)

_ESCAPE = _pattern(
    rb"\\(?<!\\\\)(?:\\\\)*+(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
"""Each escape of half a pair, or of a whole one, with the escaped backslashes before it; the group is of half a pair. What else
is escaped the pattern itself passes over: a call for each cost 120 ms for a megabyte of line ends."""

_REPLACEMENT = rb"\ufffd"
"""As long as what it stands for: nothing behind it moves."""

_skip_space = _pattern(r"[ \t\n\r]*").match
_read_value = JSONDecoder(parse_int=str, parse_float=str).raw_decode
"""Numbers stay text: their size is nobody's business here, and costs nothing."""


def without_lone_surrogates(data: bytes) -> bytes:
    """JSON with U+FFFD's escape for each half of a surrogate pair, as long as before."""
    return _ESCAPE.sub(_replaced, data)


def _replaced(found: Match[bytes]) -> bytes:
    return found[0] if found[1] is None else found[0][: -len(_REPLACEMENT)] + _REPLACEMENT


def decode_json(data: bytes | msgspec.Raw, type: type[T] | Any = Any) -> Any:  # noqa: A002
    """`msgspec.json.decode`, with U+FFFD for each half of a surrogate pair. Raises as that does."""
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.DecodeError:
        plain = bytes(data)
        whole = without_lone_surrogates(plain)
        if whole == plain:
            raise
    return msgspec.json.decode(whole, type=type)


def read_with_lone_surrogates(read: Callable[[bytes], Read], data: bytes, error: Exception) -> Read:
    """What `read` makes of a JSON object that it has refused with `error`, if that was for halves of surrogate pairs.

    Its texts have U+FFFD for each of them; its raw fields are byte for byte as they came. Raises `error` where there is no
    such half, and what `read` raises.
    """
    whole = without_lone_surrogates(data)
    if whole == data:
        raise error
    value = read(whole)
    raw_fields = [name for name in value.__struct_fields__ if isinstance(getattr(value, name), msgspec.Raw)]
    if raw_fields:
        text = data.decode()
        members = _members(whole.decode())
        for name in raw_fields:
            if name in members:
                setattr(value, name, msgspec.Raw(text[members[name]].encode()))
    return value


def _members(text: str) -> dict[str, slice]:
    """Where the values of an object's members stand, by name; of a name that stands twice, the last. `text` is valid."""
    found: dict[str, slice] = {}
    position = _end_of_space(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = _read_value(text, position)
        start = _end_of_space(text, text.index(":", position) + 1)
        _, end = _read_value(text, start)
        found[name] = slice(start, end)
        position = _end_of_space(text, end)
        if text[position] == ",":
            position = _end_of_space(text, position + 1)
    return found


def _end_of_space(text: str, position: int) -> int:
    found = _skip_space(text, position)
    assert found is not None
    return found.end()
