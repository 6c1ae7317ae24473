"""The order of one bucket's messages, without NATS."""

from __future__ import annotations

from random import Random

import pytest

from wspulse.supervisor.cluster.feed.chain import Budget, Chain, Fate, Stored


class Bucket:
    """A chain, and what it delivered."""

    def __init__(self, after: int | None = None, budget_bytes: int = 1 << 20) -> None:
        self.got: list[tuple[int, bytes]] = []
        self.budget = Budget(budget_bytes)
        self.chain = Chain(7, after, lambda _bucket, sequence, data: self.got.append((sequence, data)), self.budget)

    def take(self, sequence: int, previous: int, data: bytes = b"") -> Fate:
        return self.chain.take(previous, Stored(sequence, data))

    @property
    def sequences(self) -> list[int]:
        return [sequence for sequence, _ in self.got]


@pytest.fixture
def bucket() -> Bucket:
    """Joined behind 10."""
    joined = Bucket()
    joined.chain.position = 10
    assert joined.chain.release()
    return joined


def test_messages_that_continue_the_chain_are_delivered_with_holes_in_their_sequences(bucket: Bucket) -> None:
    assert [bucket.take(12, 5), bucket.take(15, 12), bucket.take(99, 15)] == [Fate.PASSED] * 3
    assert bucket.sequences == [12, 15, 99]


def test_message_whose_predecessor_has_grown_old_continues_the_chain(bucket: Bucket) -> None:
    assert bucket.take(500, 0) is Fate.PASSED


def test_double_is_dropped(bucket: Bucket) -> None:
    bucket.take(12, 0)
    assert bucket.take(12, 0) is Fate.DOUBLE
    assert bucket.sequences == [12]


def test_broken_chain_holds_all_until_what_is_missing_is_supplied(bucket: Bucket) -> None:
    assert bucket.take(13, 12) is Fate.BROKEN
    assert bucket.take(14, 13) is Fate.HELD
    assert not bucket.chain.continues()
    assert bucket.chain.supply(Stored(12, b""), {}) == 0
    assert bucket.chain.continues()
    assert bucket.chain.release()
    assert bucket.sequences == [12, 13, 14]
    assert bucket.take(15, 14) is Fate.PASSED


def test_held_messages_that_are_supplied_too_come_once(bucket: Bucket) -> None:
    bucket.take(13, 12)
    for sequence in (12, 13, 14):
        assert bucket.chain.supply(Stored(sequence, b""), {}) == 0
    assert bucket.chain.release()
    assert bucket.sequences == [12, 13, 14]
    assert bucket.take(14, 13) is Fate.DOUBLE


def test_second_hole_in_what_is_held_stays_broken(bucket: Bucket) -> None:
    bucket.take(13, 12)
    bucket.take(16, 15)
    bucket.chain.supply(Stored(12, b""), {})
    assert not bucket.chain.release()
    assert bucket.chain.is_holding
    bucket.chain.supply(Stored(15, b""), {})
    assert bucket.chain.release()
    assert bucket.sequences == [12, 13, 15, 16]


def test_what_the_stream_no_longer_has_is_counted_and_passed_over(bucket: Bucket) -> None:
    bucket.take(13, 12)
    assert bucket.chain.supply(Stored(13, b""), {}) == 1
    assert bucket.chain.release()
    assert bucket.sequences == [13]


def test_held_message_that_the_stream_no_longer_has_is_delivered(bucket: Bucket) -> None:
    bucket.take(13, 12)
    assert bucket.chain.supply(Stored(20, b""), {}) == 1
    assert bucket.sequences == [13, 20]


def test_skip_passes_over_what_nobody_has(bucket: Bucket) -> None:
    bucket.take(13, 12)
    bucket.take(14, 13)
    assert bucket.chain.skip() == 1
    assert bucket.chain.release()
    assert bucket.sequences == [13, 14]


def test_without_room_messages_are_forgotten_and_the_chain_shows_it(bucket: Bucket) -> None:
    small = Bucket(budget_bytes=1000)
    small.chain.position = 10
    small.chain.release()
    small.take(13, 12, b"x" * 400)
    small.take(14, 13, b"x" * 400)  # no room
    small.chain.supply(Stored(12, b""), {})
    assert small.chain.release()
    assert small.sequences == [12, 13]
    assert small.take(15, 14) is Fate.BROKEN


def test_parts_are_joined_and_others_may_come_between(bucket: Bucket) -> None:
    bucket.chain.take(0, Stored(12, b"one ", is_part=True))
    bucket.take(13, 12, b"other")
    bucket.chain.take(13, Stored(14, b"two ", is_part=True))
    assert bucket.got == [(13, b"other")]
    bucket.chain.take(14, Stored(15, b"three", parts=(12, 14)))
    assert bucket.got[1:] == [(15, b"one two three")]


def test_message_whose_parts_came_before_the_bucket_was_wanted_is_repaired(bucket: Bucket) -> None:
    last = Stored(15, b"three", parts=(8, 9))
    assert bucket.chain.take(9, last) is Fate.BROKEN
    assert not bucket.chain.continues()
    assert bucket.chain.missing_parts(last) == [8, 9]
    assert bucket.chain.supply(last, {8: b"one ", 9: b"two "}) == 0
    assert bucket.chain.release()
    assert bucket.got == [(15, b"one two three")]


def test_message_whose_parts_are_gone_is_lost(bucket: Bucket) -> None:
    last = Stored(15, b"three", parts=(8, 9))
    bucket.chain.take(9, last)
    assert bucket.chain.supply(last, {9: b"two "}) == 1
    assert bucket.chain.release()
    assert bucket.got == []
    assert bucket.take(16, 15) is Fate.PASSED


def test_all_room_is_given_back(bucket: Bucket) -> None:
    bucket.chain.take(0, Stored(12, b"part" * 100, is_part=True))
    bucket.take(20, 19, b"held" * 100)
    assert not bucket.budget.take(1 << 20)
    bucket.chain.close()
    assert bucket.budget.take(1 << 20)


def test_parts_whose_message_never_comes_are_forgotten_when_the_stream_has_forgotten_them(bucket: Bucket) -> None:
    bucket.chain.take(0, Stored(12, b"part", is_part=True))
    bucket.chain.forget_parts(13)
    assert bucket.budget.take(1 << 20)


def test_closed_chain_delivers_no_more_though_its_own_delivery_closed_it() -> None:
    got: list[int] = []

    def deliver(_bucket: int, sequence: int, _data: bytes) -> None:
        got.append(sequence)
        chain.close()

    chain = Chain(7, None, deliver, Budget(1 << 20))
    for sequence in (1, 2, 3):
        chain.take(sequence - 1, Stored(sequence, b""))
    chain.release()
    assert got == [1]


def test_any_disorder_loss_and_doubling_is_mended_from_the_stream(draw: Random) -> None:
    for _ in range(300):
        stream: list[Stored] = []
        parts: list[int] = []
        sequence = 100
        for number in range(draw.randrange(1, 30)):
            sequence += draw.randrange(1, 4)
            if parts and draw.random() < 0.4:
                stream.append(Stored(sequence, b"%d" % number, parts=tuple(parts)))
                parts = []
            elif draw.random() < 0.2:
                stream.append(Stored(sequence, b"part %d," % number, is_part=True))
                parts.append(sequence)
            else:
                stream.append(Stored(sequence, b"%d" % number))
        held = {each.sequence: each.data for each in stream}
        coming = [
            (before.sequence if before else 0, each) for before, each in zip([None, *stream], stream, strict=False)
        ]
        coming = [each for each in coming if draw.random() < 0.8] + draw.choices(coming, k=draw.randrange(4))
        for _swap in range(draw.randrange(6)):
            if len(coming) > 1:
                at = draw.randrange(len(coming) - 1)
                coming[at], coming[at + 1] = coming[at + 1], coming[at]

        bucket = Bucket(budget_bytes=draw.choice((0, 1000, 1 << 20)))
        bucket.chain.position = 100
        bucket.chain.release()

        def mend(bucket: Bucket = bucket, stream: list[Stored] = stream, held: dict[int, bytes] = held) -> None:
            while not bucket.chain.continues():
                behind = [each for each in stream if each.sequence > bucket.chain.position]
                if not behind:
                    break
                missing = bucket.chain.missing_parts(behind[0])
                assert bucket.chain.supply(behind[0], {part: held[part] for part in missing}) == 0

        is_broken = False
        for previous, stored in coming:
            is_broken = bucket.chain.take(previous, stored) is Fate.BROKEN or is_broken
            if is_broken and draw.random() < 0.5:
                mend()
                is_broken = not bucket.chain.release()
        bucket.chain.is_holding = True  # the lost end
        while True:
            mend()
            if bucket.chain.release() and bucket.chain.position == sequence:
                break
            bucket.chain.is_holding = True
        joined = [
            (each.sequence, b"".join([*(held[part] for part in each.parts), each.data]))
            for each in stream
            if not each.is_part
        ]
        assert bucket.got == joined
