"""What a gateway leaves to the one that comes after it."""

from __future__ import annotations

from pathlib import Path

from wspulse.supervisor.cluster.exchange.positions import Positions


def reopened(positions: Positions, path: Path) -> Positions:
    positions.close()
    return Positions(str(path))


def test_position_is_written_late_but_for_a_buckets_first(tmp_path: Path) -> None:
    path = tmp_path / "positions"
    positions = Positions(str(path))
    assert positions.of(7) is None
    positions.begin(7, 0)
    positions.begin(4095, 2**52)
    positions.note(7, 5)
    positions = reopened(positions, path)
    assert (positions.of(7), positions.of(4095), positions.of(8)) == (0, 2**52, None)
    positions.forget_first()
    positions.note(7, 5)
    positions.write()
    positions.note(7, 6)
    positions = reopened(positions, path)
    assert positions.of(7) == 0
    positions.forget_first()
    positions.note(7, 5)
    positions.write()
    positions.note(7, 6)
    positions.write()
    positions = reopened(positions, path)
    assert positions.of(7) == 5
    positions.begin(7, 3)
    assert positions.of(7) == 5, "it has begun long since"
    positions.close()


def test_bucket_goes_back_to_where_an_earlier_gateway_was_until_all_are_back(tmp_path: Path) -> None:
    path = tmp_path / "positions"
    positions = Positions(str(path))
    positions.begin(7, 3)
    positions.begin(8, 3)
    positions = reopened(positions, path)
    for _ in range(2):
        positions.note(7, 9)
        positions.write()
    positions.write()
    assert positions.of(7) == 3
    positions = reopened(positions, path)
    assert positions.of(7) == 3, "the third begins where the second did, whose workers may not all have been there"
    assert positions.forget_first() == {7: 3, 8: 3}
    for _ in range(2):
        positions.note(7, 9)
        positions.write()
    assert positions.of(7) == 9
    positions.close()


def test_bucket_that_is_delivered_again_goes_on_from_there(tmp_path: Path) -> None:
    positions = Positions(str(tmp_path / "positions"))
    positions.begin(7, 3)
    positions.note(7, 8)
    positions.write()
    positions.note(7, 9)
    positions.rewound(7)
    positions.note(7, 4)
    for _ in range(2):
        positions.write()
    assert positions.of(7) == 4
    positions.close()


def test_bucket_that_nobody_wants_any_more_has_no_position(tmp_path: Path) -> None:
    path = tmp_path / "positions"
    positions = Positions(str(path))
    positions.begin(7, 3)
    positions.note(7, 4)
    positions.write()
    positions.forget(7)
    positions.write()
    positions.write()
    positions = reopened(positions, path)
    assert positions.of(7) is None
    positions.close()


def test_file_of_another_form_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "positions"
    path.write_bytes(b"\x01" * 100)
    positions = Positions(str(path))
    assert positions.of(0) is None
    positions.close()
