"""Gathering a request's head: complete at the right byte, bounded, however it is cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from tests.support.wire.request_heads import GOOD_FIELDS
from tests.support.wire.request_heads import request_head as head
from wspulse.actors.wire.answer import HTTPAnswer
from wspulse.actors.wire.handshake import check_request
from wspulse.actors.wire.head import HeadGatherer, NoHTTPError

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 128
"""contract §2."""


def status_of(data: bytes) -> int:
    result = check_request(data, path="/ws", draining=False)
    assert isinstance(result, HTTPAnswer)
    return result.status


def gathered(*reads: bytes) -> HeadGatherer:
    gatherer = HeadGatherer()
    answers = [gatherer.feed(read) for read in reads]
    assert answers == [False] * (len(reads) - 1) + [True]
    return gatherer


def test_head_is_complete_at_the_empty_line_and_what_follows_is_left_over() -> None:
    gatherer = gathered(head() + b"\r\n\r\n\x81\x80abcd")
    assert gatherer.head == head()
    assert gatherer.leftover == b"\x81\x80abcd"


def test_head_cut_anywhere_is_gathered() -> None:
    data = head() + b"\r\n\r\n"
    for cut in range(1, len(data)):
        assert gathered(data[:cut], data[cut:]).head == head()
    assert gathered(*(data[at : at + 1] for at in range(len(data)))).head == head()


def test_data_behind_a_complete_head_is_added_to_the_leftover() -> None:
    gatherer = gathered(head() + b"\r\n\r\nab")
    assert gatherer.feed(b"cd")
    assert gatherer.leftover == b"abcd"


def test_one_empty_line_before_the_request_line_is_skipped() -> None:
    assert gathered(b"\r\n" + head() + b"\r\n\r\n").head == head()
    assert gathered(b"\r", b"\n" + head() + b"\r\n\r\n").head == head()


def feed_all(reads: Iterable[bytes]) -> int:
    """How many bytes a fresh gatherer took until the head was complete."""
    gatherer = HeadGatherer()
    size = 0
    for read in reads:
        size += len(read)
        if gatherer.feed(read):
            return size
    raise AssertionError("the head is not complete")


def too_large(reads: Iterable[bytes]) -> HTTPAnswer:
    with pytest.raises(HTTPAnswer) as caught:
        feed_all(reads)
    assert caught.value.status == 431
    return caught.value


def test_head_of_exactly_16_kib_passes_and_one_byte_more_is_431() -> None:
    room = MAX_HEAD_BYTES - len(head("GET /ws HTTP/1.1", "X: ") + b"\r\n\r\n")
    fits, over = (head("GET /ws HTTP/1.1", "X: " + "x" * size) + b"\r\n\r\n" for size in (room, room + 1))
    assert feed_all([fits]) == feed_all([fits[:9000], fits[9000:]]) == MAX_HEAD_BYTES
    for reads in ([over], [over[:9000], over[9000:]], [over[:-1], over[-1:]]):
        too_large(reads)


def test_endless_head_is_431_as_soon_as_it_cannot_fit() -> None:
    fed = 0

    def endless() -> Iterator[bytes]:
        nonlocal fed
        while True:
            fed += 1
            yield b"x"

    too_large(endless())
    assert fed == MAX_HEAD_BYTES


def test_128_fields_pass_and_129_are_431() -> None:
    fields = [f"X-{number}: y" for number in range(MAX_HEADERS - len(GOOD_FIELDS))]
    assert gathered(head("GET /ws HTTP/1.1", *fields) + b"\r\n\r\n").is_complete
    too_large([head("GET /ws HTTP/1.1", *fields, "One: more") + b"\r\n\r\n"])


def test_lines_that_end_in_a_bare_line_feed_end_the_head_and_are_400() -> None:
    good = head("GET /ws HTTP/1.1", "Last: 1")
    for data in (b"GET /ws HTTP/1.1\n\n", good + b"\n\n", good + b"\r\n\n", good + b"\n\r\n"):
        gatherer = gathered(data + b"rest")
        assert gatherer.leftover == b"rest"
        assert status_of(gatherer.head) == 400
    assert status_of(gathered(head().replace(b"\r\n", b"\n") + b"\n\n").head) == 400


def test_nothing_but_empty_lines_is_400() -> None:
    assert status_of(gathered(b"\r\n\r\n").head) == 400
    assert status_of(gathered(b"\n\n").head) == 400


@pytest.mark.parametrize("first", b"\x00\x16\x01\x1f\x7f\x80\xff")
def test_first_byte_of_another_protocol_is_refused_at_once_and_tls_is_known(first: int) -> None:
    with pytest.raises(NoHTTPError) as refused:
        HeadGatherer().feed(bytes((first,)))
    assert refused.value.is_tls == (first == 0x16)


@pytest.mark.parametrize("text", [b" GET /ws", b'{"op": 1}', b"<xml>", b"(", b"/", b"@", b"\x22"])
def test_first_letter_that_begins_no_method_is_400_at_once(text: bytes) -> None:
    with pytest.raises(HTTPAnswer) as refused:
        HeadGatherer().feed(text)
    assert refused.value.status == 400


def test_every_byte_of_a_method_and_line_ends_may_come_first() -> None:
    for first in (
        *range(ord("a"), ord("z") + 1),
        *range(ord("A"), ord("Z") + 1),
        *b"!#$%&'*+-.^_`|~0123456789",
        *b"\r\n",
    ):
        assert HeadGatherer().feed(bytes((first,))) is False


def test_byte_of_another_protocol_behind_the_first_is_no_matter_of_the_gatherer() -> None:
    gatherer = HeadGatherer()
    assert not gatherer.feed(b"G")
    assert gatherer.feed(b"\x16\x00\r\n\r\n")
    assert gatherer.head == b"G\x16\x00"
