"""Frechet distance between two sets of feature vectors, each taken as a normal distribution."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.linalg

from uvim_fsq.types import Float, Num

_ROWS_AT_ONCE = 512
_RELATIVE_PIVOT = 1e-12
"""Below this share of the largest squared Cholesky pivot, a covariance counts as singular."""


class FidError(ValueError):
    """A Frechet distance, or what it needs, that cannot be had: says why and what to do."""


class FrechetDistance(NamedTuple):
    """A squared distance, and what must be said with it."""

    value: float
    warnings: tuple[str, ...] = ()


class FeatureStatistics:
    """Mean and unbiased covariance of feature vectors that arrive in parts, in float64.

    Parts are merged by their means and centred sums of products (Chan, Golub and LeVeque, 1979), so
    a mean far from zero costs no precision and the order of parts no more than rounding. Memory
    depends on the dimensions d alone, 8 d^2 bytes and a few times that while merging.

    Example:
      >>> statistics = FeatureStatistics()
      >>> statistics.update(np.array([[1.0, 2.0], [3.0, 2.0]]))
      >>> statistics.count, statistics.mean.tolist(), statistics.covariance[0, 0].item()
      (2, [2.0, 2.0], 2.0)
    """

    def __init__(self):
        self._count = 0
        self._mean = np.zeros(0)
        self._products = np.zeros((0, 0))
        self._waiting: list[np.ndarray] = []

    @classmethod
    def of(cls, parts: Iterable[Num[np.ndarray, "_ _"]]) -> "FeatureStatistics":
        """The statistics of some parts."""
        statistics = cls()
        for features in parts:
            statistics.update(features)
        return statistics

    def update(self, features: Num[np.ndarray, "n d"]) -> None:
        """Add feature vectors; raises FidError for other dimensions than before, NaN or infinity."""
        if features.ndim != 2 or features.shape[1] == 0:
            raise FidError(
                f"expected feature vectors of shape (n, d), found {features.shape}."
            )
        if not np.isfinite(features).all():
            raise FidError(
                "expected finite features, found NaN or infinite ones: the network or the "
                "pictures given to it are broken."
            )
        known = self._waiting[0].shape[1] if self._waiting else self._mean.size
        if known and features.shape[1] != known:
            raise FidError(
                f"expected features of {known} dimensions as before, found "
                f"{features.shape[1]}: use one network for all pictures."
            )
        if len(features):
            self._waiting.append(np.array(features, np.float64))
        if sum(map(len, self._waiting)) >= _ROWS_AT_ONCE:
            self._merge()

    @property
    def count(self) -> int:
        """How many vectors there were."""
        return self._count + sum(map(len, self._waiting))

    @property
    def mean(self) -> Float[np.ndarray, "d"]:
        """The mean, zero-dimensional before the first vector."""
        self._merge()
        return self._mean

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """The covariance with divisor n - 1; raises FidError for fewer than two vectors."""
        self._merge()
        if self._count < 2:
            raise FidError(
                f"a covariance needs at least 2 pictures, found {self._count}: give more."
            )
        return self._products / (self._count - 1)

    def _merge(self) -> None:
        """Merging costs three passes over d x d numbers: it waits until many rows are there."""
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting = []
        new_mean = rows.mean(axis=0)
        rows -= new_mean
        if self._count == 0:
            self._count, self._mean, self._products = len(rows), new_mean, rows.T @ rows
            return
        count = self._count + len(rows)
        shift = new_mean - self._mean
        weight = self._count * len(rows) / count
        self._products = (
            self._products + rows.T @ rows + np.outer(weight * shift, shift)
        )
        self._mean = self._mean + shift * (len(rows) / count)
        self._count = count


def frechet_distance(
    features_a: Num[np.ndarray, "n d"], features_b: Num[np.ndarray, "m e"]
) -> FrechetDistance:
    """The squared Frechet distance of the normal distributions that fit two sets of features.

    `|mean_a - mean_b|^2 + trace(Ca + Cb - 2 (Ca Cb)^(1/2))` in float64 with unbiased covariances:
    FID (Heusel et al., 2017, arXiv:1706.08500) where the features are Inception's. Symmetric, 0 for equal
    statistics. It grows as pictures get fewer, so only values from as many pictures compare.

    Raises FidError for fewer than two vectors on a side, and for differing dimensions.
    """
    return distance_between(
        FeatureStatistics.of([features_a]), FeatureStatistics.of([features_b])
    )


def distance_between(a: FeatureStatistics, b: FeatureStatistics) -> FrechetDistance:
    """`frechet_distance` from statistics.

    The trace of the root is the sum of the roots of the eigenvalues of `L^T Cb L`, where
    `Ca = L L^T` (Cholesky): that matrix is similar to `Ca Cb`, but symmetric. Singular covariances
    are computed too, and named in `warnings`: then the trace is the sum of the singular values of
    `Fa^T Fb`, with `F F^T` the covariances, F by Cholesky with pivoting, as wide as their rank. Zeros
    stay zeros then, where roots of eigenvalues would turn rounding errors of 1e-16 into 1e-8.
    """
    covariances = [a.covariance, b.covariance]
    if a.mean.size != b.mean.size:
        raise FidError(
            f"expected features of as many dimensions on both sides, found {a.mean.size} and "
            f"{b.mean.size}: use one network for both."
        )
    factors = [_cholesky(side, c) for side, c in zip((a, b), covariances, strict=True)]
    warnings = [
        _singular_text(side)
        for side, factor in zip((a, b), factors, strict=True)
        if factor is None
    ]
    left, right = factors
    if left is not None and right is not None:
        product = left.T @ covariances[1] @ left
        values = scipy.linalg.eigvalsh(product, check_finite=False, driver="evd")
        root_trace = np.sum(np.sqrt(np.maximum(values, 0)))
    else:
        left, right = (
            _singular_factor(covariance) if factor is None else factor
            for covariance, factor in zip(covariances, factors, strict=True)
        )
        root_trace = np.linalg.norm(left.T @ right, ord="nuc")
    traces = sum(np.trace(covariance) for covariance in covariances)
    value = np.sum((a.mean - b.mean) ** 2) + traces - 2 * root_trace
    # Equal statistics may come out below zero by rounding.
    return FrechetDistance(max(0.0, float(value)), tuple(dict.fromkeys(warnings)))


def _cholesky(
    statistics: FeatureStatistics, covariance: np.ndarray
) -> np.ndarray | None:
    """The lower factor, or None for a covariance that is singular or nearly so."""
    if statistics.count <= len(covariance):
        return None
    try:
        factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    pivots = np.diag(factor) ** 2
    return factor if pivots.min() > _RELATIVE_PIVOT * pivots.max() else None


def _singular_factor(covariance: np.ndarray) -> np.ndarray:
    """F (d r) with `F F^T` the covariance of rank r, in d r^2 operations."""
    (pivoted_cholesky,) = scipy.linalg.get_lapack_funcs(["pstrf"], [covariance])
    packed, pivots, rank, _ = pivoted_cholesky(covariance, lower=1)
    factor = np.zeros((len(covariance), rank))
    factor[pivots - 1] = np.tril(packed)[:, :rank]
    return factor


def _singular_text(statistics: FeatureStatistics) -> str:
    dimensions, count = statistics.mean.size, statistics.count
    if count > dimensions:
        return (
            f"{dimensions} dimensions from {count} pictures: the covariance is singular, "
            "some features are constant or depend on each other"
        )
    return (
        f"{dimensions} dimensions from {count} pictures: the covariance is singular, the value "
        f"is biased upwards; use more than {dimensions} pictures"
    )
