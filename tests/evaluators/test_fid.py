"""Frechet distance: parity, closed forms, singular covariances, statistics in parts."""

import tracemalloc

import numpy as np
import pytest
import scipy.linalg

from uvim_fsq.evaluators.fid import (
    FeatureStatistics,
    FidError,
    distance_between,
    frechet_distance,
)


def features(count, dimensions, seed, spread=1.0, shift=0.0):
    """Correlated, not negative, far from normal: like those of a network."""
    generator = np.random.default_rng(seed)
    mix = generator.normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    values = generator.normal(size=(count, dimensions)) @ mix.T * spread + 0.5 + shift
    return np.maximum(values, 0).astype(np.float32)


def by_matrix_root(a, b):
    """The definition, with SciPy's root of a general matrix."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb)
    shift = np.sum((a.mean(0) - b.mean(0)) ** 2)
    return shift + np.trace(ca) + np.trace(cb) - 2 * np.trace(root).real


@pytest.mark.parametrize("case", range(4))
def test_golden(golden, case):
    """Case 2 is nearly 0; case 3 has fewer pictures than dimensions.

    There the root of a general matrix is good to 1e-7 only, the published one, in float64, to more.
    """
    values = golden("eval/fid.npz")
    a, b = (values[f"case{case}/{side}"] for side in "ab")
    expected = {
        name: float(values[f"case{case}/fid_{name}"])
        for name in ("scipy_f64", "tfgan", "tfgan_f64_input")
    }
    found = frechet_distance(a, b)
    singular = case == 3
    tolerance = 1e-7 if singular else 1e-11
    assert found.value == pytest.approx(expected["scipy_f64"], rel=tolerance, abs=1e-12)
    assert found.value == pytest.approx(
        expected["tfgan_f64_input"], rel=1e-11, abs=1e-12
    )
    assert found.value == pytest.approx(expected["tfgan"], rel=1e-6)
    assert len(found.warnings) == 2 * singular


@pytest.mark.parametrize("dimensions", [1, 2, 64])
def test_against_the_root_of_a_matrix(dimensions):
    a, b = features(300, dimensions, 0), features(200, dimensions, 1, 2.0, 0.3)
    if dimensions > 1:
        expected = by_matrix_root(a, b)
    else:  # normal distributions of one dimension: (mean)^2 + (deviation)^2
        a64, b64 = a.astype(float), b.astype(float)
        expected = (a64.mean() - b64.mean()) ** 2 + (
            a64.std(ddof=1) - b64.std(ddof=1)
        ) ** 2
    found = frechet_distance(a, b)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.warnings == ()
    assert frechet_distance(b, a).value == pytest.approx(found.value, rel=1e-9)


def test_two_pictures_a_side_are_enough():
    """Means 2 and 8, variances 2 and 8: (8 - 2)^2 + (sqrt(8) - sqrt(2))^2."""
    found = frechet_distance(np.array([[1.0], [3.0]]), np.array([[6.0], [10.0]]))
    assert found.value == pytest.approx(38, rel=1e-12)
    assert found.warnings == ()


def test_equal_features_have_distance_zero():
    a = features(300, 32, 0)
    assert frechet_distance(a, a[::-1]).value == pytest.approx(0, abs=1e-12)
    assert frechet_distance(a, a).value >= 0


def test_scaling_has_a_closed_form():
    """Features 3 x + 1: equal axes, deviations times 3, so (3 - 1)^2 times the variance."""
    a = features(500, 16, 3).astype(np.float64)
    variances = a.var(axis=0, ddof=1).sum()
    expected = np.sum((2 * a.mean(axis=0) + 1) ** 2) + 4 * variances
    assert frechet_distance(a, 3 * a + 1).value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "counts", [(20, 200), (200, 20), (20, 25), (50, 200), (20, 20)]
)
def test_fewer_pictures_than_dimensions(counts):
    a, b = features(counts[0], 50, 0), features(counts[1], 50, 1, 1.5)
    found = frechet_distance(a, b)
    assert found.value == pytest.approx(by_matrix_root(a, b), rel=1e-5)
    # Said once where it is the same of both sides.
    few = list(dict.fromkeys(n for n in counts if n <= 50))
    assert len(found.warnings) == len(few)
    for text, count in zip(found.warnings, few, strict=True):
        assert f"50 dimensions from {count} pictures" in text
        assert "singular" in text and "biased upwards" in text


def test_singular_roots_are_exact():
    """Flat distributions at a right angle share nothing: the traces alone remain."""
    generator = np.random.default_rng(0)
    a, b = np.zeros((2, 40, 30))
    a[:, :10], b[:, 10:20] = generator.normal(size=(2, 40, 10))
    found = frechet_distance(a, b)
    shift = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected = shift + a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum()
    assert found.value == pytest.approx(expected, rel=1e-13)
    assert "30 dimensions from 40 pictures" in found.warnings[0]
    assert "constant or depend" in found.warnings[0]
    assert "biased" not in found.warnings[0]


def test_constant_features():
    """No variance at all: the distance of the means."""
    found = frechet_distance(np.full((3, 4), 1.0), np.full((5, 4), 3.0))
    assert found.value == pytest.approx(16)
    assert len(found.warnings) == 2


@pytest.mark.parametrize("apart", [1e-9, 3e-7])
def test_nearly_singular_counts_as_singular(apart):
    """Apart by rounding errors alone, and by a little more than that."""
    a = features(300, 8, 0).astype(np.float64)
    a[:, 7] = a[:, 0] + apart * a[:, 7]
    found = frechet_distance(a, features(300, 8, 1))
    assert len(found.warnings) == 1
    assert found.value == pytest.approx(
        by_matrix_root(a, features(300, 8, 1)), rel=1e-6
    )


@pytest.mark.parametrize("part", [1, 7, 600, 1500])
def test_statistics_in_parts(part):
    """Any parts give the mean and covariance of all, even where the mean is large."""
    values = features(1500, 12, 4).astype(np.float64) + 1e6
    parts = [values[i : i + part] for i in range(0, 1500, part)]
    statistics = FeatureStatistics.of(parts)
    assert statistics.count == 1500
    np.testing.assert_allclose(statistics.mean, values.mean(0), rtol=1e-14)
    centred = values - values.mean(0)
    np.testing.assert_allclose(
        statistics.covariance, centred.T @ centred / 1499, rtol=1e-8, atol=1e-10
    )


def test_statistics_can_be_read_in_between():
    values = features(40, 5, 4).astype(np.float64)
    statistics = FeatureStatistics()
    for start in (0, 10, 20, 30):
        statistics.update(values[start : start + 10])
        seen = values[: start + 10]
        assert statistics.count == len(seen)
        np.testing.assert_allclose(statistics.covariance, np.cov(seen, rowvar=False))
    expected = frechet_distance(values, values[:20] + 1).value
    other = FeatureStatistics.of([values[:20] + 1])
    assert distance_between(statistics, other).value == pytest.approx(expected)


def test_memory_does_not_grow_with_the_pictures():
    values = features(512, 4, 0).astype(np.float64)
    statistics = FeatureStatistics()
    tracemalloc.start()
    try:
        for _ in range(100):
            statistics.update(values)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert statistics.count == 51_200
    assert most < 10 * values.nbytes


def test_the_given_array_is_not_changed():
    values = features(600, 4, 0).astype(np.float64)
    before = values.copy()
    FeatureStatistics.of([values]).covariance.sum()
    np.testing.assert_array_equal(values, before)


def test_errors():
    good = features(20, 4, 0)
    with pytest.raises(FidError, match="at least 2 pictures, found 1"):
        frechet_distance(good[:1], good)
    with pytest.raises(FidError, match="at least 2 pictures, found 0"):
        frechet_distance(good, good[:0])
    with pytest.raises(FidError, match="found 4 and 3"):
        frechet_distance(good, good[:, :3])
    with pytest.raises(FidError, match="4 dimensions as before, found 3"):
        FeatureStatistics.of([good, good[:, :3]])
    with pytest.raises(FidError, match=r"found \(5, 0\)"):
        FeatureStatistics.of([np.zeros((5, 0))])
    for bad in (np.nan, np.inf):
        broken = good.copy()
        broken[3, 1] = bad
        with pytest.raises(FidError, match="NaN or infinite"):
            frechet_distance(good, broken)
