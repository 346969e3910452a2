"""The mean predictors: means over valid pixels of a stream of targets."""

import doctest

import numpy as np
import pytest

from uvim_fsq.evaluators import baselines
from uvim_fsq.evaluators.baselines import MeanPredictor, ModePredictor


def test_means_over_valid_pixels():
    rng = np.random.default_rng(0)
    targets = rng.uniform(1, 9, (20, 5, 7)).astype(np.float32)
    valid = rng.random((20, 5, 7)) < 0.4
    valid[:, 2, 3] = False
    baseline = MeanPredictor()
    for target, mask in zip(targets, valid, strict=True):
        baseline.update(np.where(mask, target, np.nan), mask)
    assert baseline.constant() == pytest.approx(targets[valid].mean(), rel=1e-6)
    per_pixel = baseline.per_pixel()
    assert per_pixel.shape == (5, 7) and per_pixel.dtype == np.float32
    assert per_pixel[2, 3] == baseline.constant()
    seen = valid[:, 0, 0]
    assert per_pixel[0, 0] == pytest.approx(targets[seen, 0, 0].mean(), rel=1e-6)


def test_colours_have_a_mean_for_each_channel():
    baseline = MeanPredictor()
    valid = np.array([[True, False]])
    baseline.update(np.array([[[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]]]), valid)
    baseline.update(np.array([[[3.0, 2.0, 1.0], [9.0, 9.0, 9.0]]]), valid)
    np.testing.assert_array_equal(baseline.constant(), [2, 2, 2])
    np.testing.assert_array_equal(baseline.per_pixel(), np.full((1, 2, 3), 2.0))


def test_misuse_is_refused():
    baseline = MeanPredictor()
    with pytest.raises(ValueError, match="no valid pixel"):
        baseline.constant()
    baseline.update(np.ones((2, 3)), np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="no valid pixel"):
        baseline.per_pixel()
    with pytest.raises(ValueError, match=r"found \(3, 2\) after \(2, 3\)"):
        baseline.update(np.ones((3, 2)), np.ones((3, 2), bool))


def test_docstring_example():
    result = doctest.testmod(baselines)
    assert result.attempted > 0 and result.failed == 0


def test_most_frequent_classes():
    baseline = ModePredictor(classes=4)
    for target in ([[1, 2], [3, 3]], [[1, 3], [3, 0]], [[2, 3], [-1, 7]]):
        baseline.update(np.array(target))
    # The lowest of several; -1 and 7 are no classes.
    np.testing.assert_array_equal(baseline.per_pixel(), [[1, 3], [3, 0]])
    assert baseline.per_pixel().dtype == np.int32
    assert baseline.constant() == 3
    with pytest.raises(ValueError, match=r"found \(1, 2\) after \(2, 2\)"):
        baseline.update(np.array([[1, 2]]))
    with pytest.raises(ValueError, match="have no pixel of a class"):
        ModePredictor(4).per_pixel()
