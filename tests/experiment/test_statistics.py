"""Means, deviations and paired intervals, against figures worked out by hand."""

import math

import pytest

from uvim_fsq.experiment.statistics import Summary, paired_difference, summarize


def test_sample_deviation():
    found = summarize([1.0, 2.0, 6.0])
    assert found is not None and (found.mean, found.count) == (3.0, 3)
    assert found.deviation == pytest.approx(math.sqrt(7))
    two = summarize([1.0, 3.0])
    assert two is not None and two.deviation == pytest.approx(math.sqrt(2))
    assert summarize([2.5]) == Summary(2.5, None, 1)
    assert summarize([]) is None
    assert summarize([math.nan, 2.0]) == Summary(2.0, None, 1)


def test_paired_interval():
    """Differences 1, 2, 3: mean 2, deviation 1; t(0.975, 2) = 4.302653."""
    first = {0: 1.0, 1: 5.0, 2: 3.0, 7: 100.0}
    second = {0: 2.0, 1: 7.0, 2: 6.0, 8: -100.0}
    found = paired_difference(first, second)
    assert found is not None and found.count == 3 and found.mean == 2.0
    half = 4.302653 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), abs=1e-5)
    assert not found.is_clear
    narrow = paired_difference(first, second, confidence=0.5)
    assert narrow is not None and narrow.is_clear


def test_less_than_two_pairs_have_no_interval():
    found = paired_difference({0: 1.0}, {0: 4.0})
    assert found is not None and (found.mean, found.low, found.high) == (3, None, None)
    assert not found.is_clear
    assert paired_difference({0: 1.0}, {1: 4.0}) is None
