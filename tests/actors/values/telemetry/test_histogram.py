"""Histograms: in which bucket a time falls, and what is told of them."""

from __future__ import annotations

import pytest

from wspulse.actors.values.metrics import Metrics
from wspulse.actors.values.telemetry.histogram import Histogram, Histograms


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.1, 0), (0.100001, 1), (0.5, 1), (2.0, 2), (2.1, 3)])
def test_time_falls_into_the_first_bucket_whose_bound_it_does_not_exceed(seconds: float, bucket: int) -> None:
    histogram = Histogram((0.1, 0.5, 2.0))
    histogram.observe(seconds)
    assert histogram.counts == [int(number == bucket) for number in range(4)]


def test_sum_is_told_in_microseconds_and_empty_buckets_are_not() -> None:
    histogram = Histogram((0.1, 0.5))
    for seconds in (0.2, 0.3, 7.0):
        histogram.observe(seconds)
    assert histogram.told() == {"sum_us": 7_500_000, "1": 2, "2": 1}


def test_histogram_of_a_name_and_label_is_one_and_the_same_and_is_told_before_anything_is_measured() -> None:
    histograms = Histograms()
    assert histograms.of("wspulse_move_seconds") is histograms.of("wspulse_move_seconds")
    assert histograms.of("wspulse_move_seconds", "a") is not histograms.of("wspulse_move_seconds", "b")
    told = histograms.told()
    assert told == {"wspulse_move_seconds": {"": {"sum_us": 0}, "a": {"sum_us": 0}, "b": {"sum_us": 0}}}


@pytest.mark.parametrize("name", ["wspulse_unheard_of_seconds", "wspulse_frames_sent_total"])
def test_nothing_is_measured_that_the_contract_does_not_have(name: str) -> None:
    with pytest.raises(KeyError):
        Histograms().of(name)


def test_counters_are_numbers_alone() -> None:
    counted = Metrics().counted()
    assert all(type(value) is int for value in counted.values())
    assert "frames_in" in counted
