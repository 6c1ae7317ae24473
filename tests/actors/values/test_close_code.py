"""Which close codes and reasons an application may send (contract §3)."""

from __future__ import annotations

from typing import Any

import pytest

from wspulse.actors.values.close_code import check_close


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 1014, 3000, 4001, 4999])
def test_code_that_may_be_sent_passes(code: int) -> None:
    check_close(code, "logged in elsewhere")


@pytest.mark.parametrize(
    "code", [-1, 0, 999, 1002, 1003, 1004, 1005, 1006, 1007, 1009, 1010, 1015, 1016, 2999, 5000, 2**70]
)
def test_code_that_may_not_be_sent_is_refused_with_those_that_may(code: int) -> None:
    with pytest.raises(ValueError, match=rf"wspulse: close code {code} cannot be sent; allowed: 1000, 1001, 1008, "):
        check_close(code, "")


@pytest.mark.parametrize("code", [None, "1000", 1000.0, True])
def test_code_that_is_no_int_is_refused(code: Any) -> None:
    with pytest.raises(TypeError, match="wspulse: a close code must be an int, not "):
        check_close(code, "")


def test_reason_may_have_so_many_bytes_and_not_one_more() -> None:
    check_close(1000, "é" * 61 + "e")
    with pytest.raises(ValueError, match="wspulse: the close reason has 124 bytes in UTF-8; allowed: up to 123"):
        check_close(1000, "é" * 62)


def test_reason_that_is_no_text_is_refused() -> None:
    reason: Any = b"bye"
    with pytest.raises(TypeError, match="wspulse: a close reason must be a str, not bytes"):
        check_close(1000, reason)


def test_reason_with_half_an_emoji_is_refused() -> None:
    with pytest.raises(ValueError, match="wspulse: the close reason contains a lone surrogate"):
        check_close(1000, "\ud83d")
