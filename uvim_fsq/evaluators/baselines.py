"""Predictors that do not look at the picture: what a model has to beat."""

import numpy as np

from uvim_fsq.errors import ScoreError
from uvim_fsq.types import Bool, Float, Int, Num


class MeanPredictor:
    """The mean of the training targets: one value, and one per pixel of the model's grid.

    Targets arrive one by one; only their valid values count. `constant` weighs all valid pixels of
    all targets alike. Both minimize the squared error over the training targets, among predictions
    that are the same for every picture.

    Example:
      >>> baseline = MeanPredictor()
      >>> depth = np.array([[1.0, 0.0], [3.0, 2.0]])
      >>> baseline.update(depth, depth > 0)
      >>> baseline.constant().item(), baseline.per_pixel()[0, 1].item()
      (2.0, 2.0)
    """

    def __init__(self):
        self._sums: np.ndarray | None = None
        self._counts = np.zeros(())

    def update(
        self, target: Num[np.ndarray, "h w *c"], valid: Bool[np.ndarray, "h w"]
    ) -> None:
        """Add a training target (h w) or (h w c); all must have one size."""
        if self._sums is None:
            self._sums = np.zeros(target.shape)
            self._counts = np.zeros(target.shape[:2])
        if target.shape != self._sums.shape:
            raise ValueError(
                f"all targets must have the size of the model's grid, found {target.shape} "
                f"after {self._sums.shape}."
            )
        self._sums[valid] += target[valid]
        self._counts += valid

    def constant(self) -> Float[np.ndarray, "*c"]:
        """The mean over all valid pixels, float32: a scalar, or one value per channel."""
        sums, counts = self._totals()
        return np.asarray(sums.sum(axis=(0, 1)) / counts.sum(), np.float32)

    def per_pixel(self) -> Float[np.ndarray, "h w *c"]:
        """The mean at each pixel, float32; `constant` where no target was ever valid."""
        sums, counts = self._totals()
        counts = counts.reshape(counts.shape + (1,) * (sums.ndim - 2))
        mean = sums / np.maximum(counts, 1)
        return np.where(counts > 0, mean, self.constant()).astype(np.float32)

    def _totals(self) -> tuple[np.ndarray, np.ndarray]:
        if self._sums is None or not self._counts.any():
            raise ScoreError(
                "the training targets have no valid pixel, which the mean predictor is the mean of: "
                "look at the training data."
            )
        return self._sums, self._counts


class ModePredictor:
    """The most frequent class of the training targets: one, and one per pixel of the grid.

    Args:
      classes: number of classes; others in a target do not count.

    Example:
      >>> baseline = ModePredictor(classes=3)
      >>> baseline.update(np.array([[2, 1]]))
      >>> baseline.update(np.array([[2, 0]]))
      >>> baseline.update(np.array([[1, 0]]))
      >>> baseline.per_pixel().tolist(), baseline.constant()
      ([[2, 0]], 0)
    """

    def __init__(self, classes: int):
        self._classes = classes
        self._counts: np.ndarray | None = None

    def update(self, target: Int[np.ndarray, "h w"]) -> None:
        """Add a training target; all must have one size."""
        if self._counts is None:
            self._counts = np.zeros((*target.shape, self._classes), np.int32)
        if target.shape != self._counts.shape[:2]:
            raise ValueError(
                f"all targets must have the size of the model's grid, found {target.shape} "
                f"after {self._counts.shape[:2]}."
            )
        rows, columns = np.nonzero((target >= 0) & (target < self._classes))
        self._counts[rows, columns, target[rows, columns]] += 1

    def constant(self) -> int:
        """The class with the most pixels; the lowest of several."""
        return int(self._totals().sum(axis=(0, 1)).argmax())

    def per_pixel(self) -> Int[np.ndarray, "h w"]:
        """The most frequent class at each pixel, int32; the lowest of several."""
        return self._totals().argmax(axis=-1).astype(np.int32)

    def _totals(self) -> np.ndarray:
        if self._counts is None or not self._counts.any():
            raise ScoreError(
                "the training targets have no pixel of a class, which the mode predictor counts: look "
                "at the training data."
            )
        return self._counts
