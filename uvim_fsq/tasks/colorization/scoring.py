"""How colorization is scored."""

from dataclasses import dataclass

import numpy as np

from uvim_fsq.evaluators.baselines import MeanPredictor
from uvim_fsq.evaluators.color import PsnrEvaluator
from uvim_fsq.evaluators.runner import Evaluator


@dataclass(frozen=True)
class ColorizationScoring:
    """PSNR and colourfulness, see `PsnrEvaluator`; predictions are averaged as colours."""

    headline = "psnr"
    unit = "dB"
    higher_is_better = True
    columns = ("psnr", "colorfulness", "colorfulness_ratio")
    further = ("colorfulness_ratio",)

    def evaluator(self) -> Evaluator:
        """PSNR and colourfulness."""
        return PsnrEvaluator()

    def baselines(self, task, targets):
        """The mean colour, and the mean colour of each pixel."""
        mean = MeanPredictor()
        for target in targets:
            mean.update(target, np.ones(target.shape[:2], bool))
        per_pixel = mean.per_pixel()
        constant = np.broadcast_to(mean.constant(), per_pixel.shape)
        return {"constant": {"color": constant}, "per_pixel_mean": {"color": per_pixel}}

    def unpredicted(self, reference):
        """The grey picture as it is."""
        # Scaled as the truth is, see `ColorizationTask`: a grey truth is met exactly.
        return {"grey": reference["image"].astype(np.float32) / 128 - 1}

    def target(self, reference):
        """Colours."""
        return reference["color"]
