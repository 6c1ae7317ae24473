"""What waits in a stream: joined into pieces, taken back before it has begun, counted in bytes."""

from __future__ import annotations

from random import Random

from wspulse.actors.mesh.outbox import Outbox

KIB = 1024


def drain(outbox: Outbox, most_bytes: int = 1 << 30) -> bytes:
    """All that it sends to a kernel that takes so much at a time."""
    sent = b""
    while outbox:
        piece, _ = outbox.next_piece()
        taken = piece[:most_bytes]
        outbox.sent(piece, len(taken))
        sent += taken
    return sent


def test_small_envelopes_go_in_one_piece_and_a_large_one_goes_uncopied_by_itself() -> None:
    outbox = Outbox()
    large = b"c" * (100 * KIB)
    for data in (b"a", b"b", large, b"d"):
        outbox.put(data, None)
    pieces = []
    while outbox:
        piece, descriptors = outbox.next_piece()
        assert descriptors == []
        pieces.append(piece)
        outbox.sent(piece, len(piece))
    assert pieces == [b"ab", large, b"d"]
    assert pieces[1] is large


def test_piece_has_at_most_sixteen_descriptors_in_the_order_of_their_envelopes() -> None:
    outbox = Outbox()
    for number in range(20):
        outbox.put(b"%02d" % number, 100 + number)
    piece, descriptors = outbox.next_piece()
    assert (piece, descriptors) == (b"".join(b"%02d" % number for number in range(16)), list(range(100, 116)))
    outbox.sent(piece, len(piece))
    assert outbox.next_piece() == (b"16171819", [116, 117, 118, 119])


def test_rest_of_a_piece_follows_without_its_descriptors() -> None:
    outbox = Outbox()
    outbox.put(b"abcdef", 7)
    piece, descriptors = outbox.next_piece()
    assert descriptors == [7]
    outbox.sent(piece, 2)
    assert outbox.next_piece() == (b"cdef", [])
    assert outbox.waiting_bytes == 4


def test_piece_that_the_kernel_did_not_take_is_offered_again_with_its_descriptors() -> None:
    outbox = Outbox()
    outbox.put(b"abc", 7)
    assert outbox.next_piece() == (b"abc", [7])
    outbox.sent(b"abc", 0)
    assert outbox.next_piece() == (b"abc", [7])


def test_envelope_that_is_taken_back_is_not_sent_and_does_not_count() -> None:
    outbox = Outbox()
    first, second, third = (outbox.put(data, None) for data in (b"first", b"second", b"third"))
    assert outbox.take_back(second)
    assert outbox.waiting_bytes == 10
    assert not outbox.take_back(second)
    assert drain(outbox) == b"firstthird"
    assert not outbox.take_back(first)
    assert not outbox.take_back(third)


def test_envelope_that_has_begun_to_go_cannot_be_taken_back() -> None:
    outbox = Outbox()
    begun = outbox.put(b"begun", None)
    piece, _ = outbox.next_piece()
    outbox.sent(piece, 1)
    waiting = outbox.put(b"waiting", None)
    assert not outbox.take_back(begun)
    assert outbox.take_back(waiting)
    assert drain(outbox) == b"egun"
    assert outbox.waiting_bytes == 0


def test_nothing_waits_after_it_was_cleared() -> None:
    outbox = Outbox()
    outbox.put(b"begun", None)
    outbox.sent(outbox.next_piece()[0], 1)
    outbox.put(b"next", None)
    outbox.clear()
    assert (bool(outbox), outbox.waiting_bytes, outbox.next_piece()) == (False, 0, (b"", []))


def test_what_goes_is_what_was_put_in_and_not_taken_back_whatever_the_kernel_takes(draw: Random) -> None:
    for _ in range(200):
        outbox, expected, sent = Outbox(), bytearray(), b""
        numbers: list[tuple[int, bytes]] = []
        for step in range(draw.randrange(1, 60)):
            data = bytes([step]) * draw.choice((1, 5, 300, 70 * KIB))
            kind = draw.randrange(3)
            if kind == 0 or not numbers:
                numbers.append((outbox.put(data, None), data))
            elif kind == 1:
                number, _ = pair = draw.choice(numbers)
                if outbox.take_back(number):
                    numbers.remove(pair)
            elif outbox:
                piece, _ = outbox.next_piece()
                taken = piece[: draw.randrange(len(piece) + 1)]
                outbox.sent(piece, len(taken))
                sent += taken
        for _, data in numbers:
            expected += data
        assert outbox.waiting_bytes == len(expected) - len(sent)
        assert sent + drain(outbox, 50 * KIB) == expected
