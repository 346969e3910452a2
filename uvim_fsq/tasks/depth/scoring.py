"""How depth is scored."""

from dataclasses import dataclass

import numpy as np

from uvim_fsq.evaluators.baselines import MeanPredictor
from uvim_fsq.evaluators.depth import DepthEvaluator, valid_pixels
from uvim_fsq.evaluators.runner import Evaluator
from uvim_fsq.tasks.depth.settings import DepthConfig


@dataclass(frozen=True)
class DepthScoring:
    """RMSE and its kin, see `DepthEvaluator`; predictions are averaged in metres."""

    config: DepthConfig
    headline = "rmse"
    unit = "m"
    higher_is_better = False
    columns = ("rmse", "abs_rel", "log10", "delta1", "delta2", "delta3")
    further = ("abs_rel", "delta1")

    def evaluator(self) -> Evaluator:
        """RMSE and the others."""
        return DepthEvaluator(self.config.min_depth, self.config.max_depth)

    def baselines(self, task, targets):
        """The mean depth, and the mean depth of each pixel."""
        config = self.config
        mean = MeanPredictor()
        for target in targets:
            mean.update(
                target, valid_pixels(target, config.min_depth, config.max_depth)
            )
        per_pixel = mean.per_pixel()
        constant = np.full_like(per_pixel, mean.constant())
        return {"constant": {"depth": constant}, "per_pixel_mean": {"depth": per_pixel}}

    def unpredicted(self, reference):
        """None."""
        return {}

    def target(self, reference):
        """Metres."""
        return reference["depth"]
