"""What a client offers, and what is agreed on (RFC 7692 §5.1, §7.1)."""

from __future__ import annotations

import pytest

from wspulse.actors.wire.answer import HTTPAnswer
from wspulse.actors.wire.compression.agreement import NO_AGREEMENT, Agreement, agreed

BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def head(*values: str) -> bytes:
    """A request with these lines, beside others."""
    lines = [f"Sec-WebSocket-Extensions: {value}" for value in values]
    return "\r\n".join(["GET /ws HTTP/1.1", "Host: a", *lines, "X-Last: y"]).encode("latin-1")


def agreement(window_bits: int, text: str) -> Agreement:
    return Agreement(window_bits, (("Sec-WebSocket-Extensions", text),))


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ("permessage-deflate", agreement(15, BOTH)),
        ("permessage-deflate; client_max_window_bits", agreement(15, BOTH)),
        (BOTH, agreement(15, BOTH)),
        ("permessage-deflate; server_no_context_takeover", agreement(15, BOTH)),
        ("permessage-deflate; server_max_window_bits=9", agreement(9, f"{BOTH}; server_max_window_bits=9")),
        ('permessage-deflate;server_max_window_bits="10"', agreement(10, f"{BOTH}; server_max_window_bits=10")),
        ("permessage-deflate; server_max_window_bits=15", agreement(15, f"{BOTH}; server_max_window_bits=15")),
        ("permessage-deflate; client_max_window_bits=9", agreement(15, f"{BOTH}; client_max_window_bits=9")),
        (
            "permessage-deflate; client_max_window_bits=15; server_max_window_bits=12",
            agreement(12, f"{BOTH}; server_max_window_bits=12; client_max_window_bits=15"),
        ),
        # zlib inflates with any window.
        ("permessage-deflate; client_max_window_bits=8", agreement(15, f"{BOTH}; client_max_window_bits=8")),
        # The first offer that can be met.
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=11",
            agreement(11, f"{BOTH}; server_max_window_bits=11"),
        ),
        ("permessage-bzip2, permessage-deflate; unknown=1, permessage-deflate", agreement(15, BOTH)),
        ("permessage-deflate; server_max_window_bits=8", NO_AGREEMENT),
        ("permessage-deflate; server_max_window_bits=16", NO_AGREEMENT),
        ("permessage-deflate; server_max_window_bits", NO_AGREEMENT),
        ("permessage-deflate; server_max_window_bits=09", NO_AGREEMENT),
        ("permessage-deflate; client_max_window_bits=7", NO_AGREEMENT),
        ("permessage-deflate; server_no_context_takeover=1", NO_AGREEMENT),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", NO_AGREEMENT),
        ("x-webkit-deflate-frame", NO_AGREEMENT),
    ],
)
def test_first_offer_that_can_be_met_is_agreed_on(offer: str, expected: Agreement) -> None:
    assert agreed(head(offer)) == expected


def test_client_that_offers_no_extension_gets_none() -> None:
    assert agreed(head()) == NO_AGREEMENT


def test_offers_on_several_lines_are_looked_at_in_their_order_whatever_their_case() -> None:
    request = head("x-one", "permessage-deflate; server_max_window_bits=9").replace(
        b"Sec-WebSocket-Ext", b"SEC-webSocket-ext"
    )
    assert agreed(request) == agreement(9, f"{BOTH}; server_max_window_bits=9")


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "permessage-deflate;",
        "permessage-deflate; a=",
        "permessage-deflate; a=b c",
        'a; b="c',
        "a b",
        "é",
        'a; b="c d"',
    ],
)
def test_header_that_is_malformed_is_answered_400(value: str) -> None:
    answer = agreed(head(value))
    assert isinstance(answer, HTTPAnswer)
    assert (answer.status, answer.text) == (400, "Sec-WebSocket-Extensions is malformed")
