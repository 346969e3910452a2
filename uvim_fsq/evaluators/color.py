"""PSNR of colours, and how colourful they are, of single pictures, averaged over pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uvim_fsq.types import Float

_TOLERANCE = 1e-3


def psnr(
    prediction: Float[np.ndarray, "h w 3"], target: Float[np.ndarray, "H W 3"]
) -> float:
    """Peak signal-to-noise ratio in decibels of colours in [-1, 1], whose range is 2.

    `20 log10(2) - 10 log10(mean((p - t)^2))`, the mean over all pixels and the three values; infinite
    where both are identical. Raises ValueError if the sizes differ or colours lie outside [-1, 1].
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have the same size, found {prediction.shape} and "
            f"{target.shape}: resize the prediction to the target first."
        )
    p, t = _checked(prediction, "prediction"), _checked(target, "target")
    error = float(np.mean((p - t) ** 2))
    if error == 0:
        return float("inf")
    return float(20 * np.log10(2) - 10 * np.log10(error))


def colorfulness(color: Float[np.ndarray, "h w 3"]) -> float:
    """Colourfulness M3 of Hasler and Suesstrunk (2003): 0 is grey, 15 slight, 59 quite, 109 extreme.

    With R, G, B from 0 to 255, `rg = R - G`, `yb = (R + G) / 2 - B`, and std and mean over pixels:
    `sqrt(std(rg)^2 + std(yb)^2) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2)`.

    A colour c of [-1, 1] stands for `128 (c + 1)`, up to 255, which undoes the scaling of
    ColTran's protocol; values are not rounded. Raises ValueError if colours lie outside [-1, 1].
    """
    values = np.minimum(128 * (_checked(color, "picture") + 1), 255)
    red, green, blue = values[..., 0], values[..., 1], values[..., 2]
    opponents = np.stack([red - green, (red + green) / 2 - blue]).reshape(2, -1)
    spread, offset = opponents.std(axis=1), opponents.mean(axis=1)
    return float(np.linalg.norm(spread) + 0.3 * np.linalg.norm(offset))


class PsnrEvaluator:
    """Scores colours pixel by pixel, and says how colourful they are.

    Protocol: prediction and reference cover the same part of the picture at the same resolution (the
    colorization task makes ColTran's: the square centre crop, at the model's size); PSNR with range 2 per
    picture, then the mean over pictures. This is UViM's PSNR formula; its published score is FID-5k.

    PSNR rewards the mean of all plausible colours, and with it grey: a dull picture can beat a
    vivid one. So colourfulness is reported beside it, of the predictions and of the references: a
    `colorfulness_ratio` far below 1 tells that a good PSNR was bought with grey.

    Items hold `prediction` (h w 3) in [-1, 1] and `reference`, a mapping with `color` (h w 3).
    """

    needs = frozenset({"prediction", "reference"})

    def update(self, item: Mapping[str, Any]) -> dict[str, float]:
        """`psnr` of one picture, `colorfulness` of prediction and reference."""
        prediction, target = item["prediction"], item["reference"]["color"]
        return {
            "psnr": psnr(prediction, target),
            "colorfulness": colorfulness(prediction),
            "reference_colorfulness": colorfulness(target),
        }

    def aggregate(self, stats: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
        """Means over pictures, and what they are means of.

        A prediction that is identical to its reference has no finite PSNR: `psnr` is the mean over the
        others, and `images_identical` says how many were left out; it is infinite only if all are.
        `colorfulness_ratio` is the ratio of the two means, absent where no reference has any colour.
        """
        if not stats:
            raise ValueError("expected pictures to score, found none.")
        scores = np.array([each["psnr"] for each in stats])
        finite = scores[np.isfinite(scores)]
        found, given = (
            float(np.mean([each[name] for each in stats]))
            for name in ("colorfulness", "reference_colorfulness")
        )
        return {
            "psnr": float(finite.mean()) if finite.size else float("inf"),
            "colorfulness": found,
            "reference_colorfulness": given,
            **({"colorfulness_ratio": found / given} if given > 0 else {}),
            "images": len(stats),
            "images_identical": len(stats) - finite.size,
        }


def _checked(color: np.ndarray, what: str) -> np.ndarray:
    low, high = float(np.min(color)), float(np.max(color))
    # Written so that NaN fails too.
    if not (-1 - _TOLERANCE <= low and high <= 1 + _TOLERANCE):
        raise ValueError(
            f"the colours of the {what} must lie in [-1, 1], found {low:g} to {high:g}: scale "
            "8-bit values as x / 128 - 1."
        )
    return color.astype(np.float64)
