"""Depth metrics of single pictures, averaged over pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uvim_fsq.errors import ScoreError
from uvim_fsq.types import Bool, Num

METRICS = ("rmse", "abs_rel", "log10", "delta1", "delta2", "delta3")


def valid_pixels(
    target: Num[np.ndarray, "h w"], min_depth: float, max_depth: float
) -> Bool[np.ndarray, "h w"]:
    """Where a target is scored: `min_depth < target < max_depth`; nowhere else, NaN included."""
    return (target > min_depth) & (target < max_depth)


def depth_metrics(
    prediction: Num[np.ndarray, "h w"],
    target: Num[np.ndarray, "H W"],
    min_depth: float = 1e-3,
    max_depth: float = 10.0,
) -> dict[str, float | int]:
    """The metrics of one picture over its valid pixels, with their number `valid_pixels`.

    For predictions p and targets t, both in metres, at the same resolution:

    - `rmse`: root of the mean of (p - t)^2, in metres;
    - `abs_rel`: mean of |p - t| / t;
    - `log10`: mean of |log10 p - log10 t|;
    - `delta1`, `delta2`, `delta3`: share of pixels with max(p / t, t / p) < 1.25, 1.25^2, 1.25^3.

    The prediction is not clipped. Without a valid pixel only `valid_pixels`, 0, is returned.

    Raises ValueError if the sizes differ, or a prediction at a valid pixel is not positive.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have the same size, found {prediction.shape} and "
            f"{target.shape}: resize the prediction to the target first."
        )
    valid = valid_pixels(target, min_depth, max_depth)
    n = int(valid.sum())
    if n == 0:
        return {"valid_pixels": 0}
    p, t = (array[valid].astype(np.float64) for array in (prediction, target))
    if not (np.isfinite(p) & (p > 0)).all():
        raise ValueError(
            f"predicted depth must be finite and above 0 metres, found {np.min(p)} to {np.max(p)}: "
            "give predictions in metres."
        )
    ratio = np.maximum(p / t, t / p)
    return {
        "rmse": float(np.sqrt(np.mean((p - t) ** 2))),
        "abs_rel": float(np.mean(np.abs(p - t) / t)),
        "log10": float(np.mean(np.abs(np.log10(p) - np.log10(t)))),
        **{f"delta{i}": float(np.mean(ratio < 1.25**i)) for i in (1, 2, 3)},
        "valid_pixels": n,
    }


class DepthEvaluator:
    """Scores depth as UViM does on NYU Depth v2.

    Protocol: prediction and reference cover the same part of the frame (the task's crop) at the
    reference's original resolution, the prediction brought there by nearest neighbour; valid pixels
    have `min_depth < target < max_depth`; nothing is clipped or rescaled; every metric is computed per
    picture, then averaged over pictures (so `rmse` is the mean of the pictures' RMSE, not the root of
    the mean over all pixels). Pictures without a valid pixel are left out of the mean and counted in
    `images_without_depth`.

    Items hold `prediction` (h w) in metres and `reference`, a mapping with `depth` (h w) in metres.
    """

    needs = frozenset({"prediction", "reference"})

    def __init__(self, min_depth: float = 1e-3, max_depth: float = 10.0):
        if not 0 <= min_depth < max_depth:
            raise ValueError(
                f"expected 0 <= min_depth < max_depth, found {min_depth} and {max_depth}."
            )
        self.min_depth = min_depth
        self.max_depth = max_depth

    def update(self, item: Mapping[str, Any]) -> dict[str, float | int]:
        """`depth_metrics` of one picture."""
        return depth_metrics(
            item["prediction"],
            item["reference"]["depth"],
            self.min_depth,
            self.max_depth,
        )

    def aggregate(self, stats: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
        """Mean metrics, `images` that were scored and `images_without_depth` that were not.

        Raises ScoreError if no picture has a valid pixel.
        """
        scored = [each for each in stats if each["valid_pixels"] > 0]
        if not scored:
            raise ScoreError(
                f"none of the {len(stats)} pictures has a pixel with depth between "
                f"{self.min_depth} and {self.max_depth} metres: check the unit of the depth maps."
            )
        means = {
            name: float(np.mean([each[name] for each in scored])) for name in METRICS
        }
        return {
            **means,
            "images": len(scored),
            "images_without_depth": len(stats) - len(scored),
        }
