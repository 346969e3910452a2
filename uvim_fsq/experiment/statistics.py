"""Means over seeds, and what differences between rows are worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (None for one value) and number of values."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Difference:
    """A paired difference: its mean, and the confidence interval around it.

    `low` and `high` are None for fewer than two pairs.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return (
            self.low is not None
            and self.high is not None
            and (self.low > 0 or self.high < 0)
        )


def summarize(values: Sequence[float]) -> Summary | None:
    """The summary of the finite values; None without any.

    The deviation is that of a sample, with n - 1 below.
    """
    array = np.asarray([v for v in values if math.isfinite(v)], np.float64)
    if not array.size:
        return None
    deviation = float(array.std(ddof=1)) if array.size > 1 else None
    return Summary(float(array.mean()), deviation, array.size)


def paired_difference(
    first: Mapping[Any, float],
    second: Mapping[Any, float],
    confidence: float = 0.95,
) -> Difference | None:
    """`second - first` over the seeds that both have; None if they have none in common.

    The interval is Student's, with n - 1 degrees of freedom: `mean +- t * deviation / sqrt(n)`. With
    three seeds t is 4.3, so that only large differences are clear: three seeds say little.
    """
    from scipy.stats import t

    common = [key for key in first if key in second]
    summary = summarize([second[key] - first[key] for key in common])
    if summary is None:
        return None
    if summary.deviation is None:
        return Difference(summary.mean, None, None, summary.count)
    quantile = float(t.ppf((1 + confidence) / 2, summary.count - 1))
    half = quantile * summary.deviation / math.sqrt(summary.count)
    return Difference(
        summary.mean, summary.mean - half, summary.mean + half, summary.count
    )
