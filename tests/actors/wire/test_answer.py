"""What a refusal says, whatever an application gives for its text."""

from __future__ import annotations

import pytest

from wspulse.actors.wire.answer import parse_answer, rejection


def body(text: str) -> bytes:
    return parse_answer(rejection(401, text).encode())[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * 5_000_000, b"x" * 4096),
        ("ä" * 5000, "ä".encode() * 2048),
        ("x" + "ä" * 5000, b"x" + "ä".encode() * 2047),
        ("xx" + "😀" * 5000, b"xx" + "😀".encode() * 1023),
        ("\ud83d" * 5000, b"?" * 4096),
        ("a\r\nSet-Cookie: x=1\r\n\r\nb", b"a Set-Cookie: x=1 b"),
        ("\r\n" * 5000 + "b", b"b"),
        ("a" * 4095 + "\r\nb", b"a" * 4095),
        ("", b"unauthorized"),
        (" \r\n ", b"unauthorized"),
    ],
)
def test_text_of_a_refusal_is_one_line_of_four_kilobytes_at_most(text: str, said: bytes) -> None:
    assert body(text) == said
