"""How each task is scored: its evaluator, and what the mean predictors average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.baselines import MeanPredictor
from evaluators.depth import DepthEvaluator, valid_pixels
from evaluators.runner import Evaluator
from uvim_fsq.config import DepthConfig
from uvim_fsq.data.pipeline import evaluation_batches
from uvim_fsq.data.source import Source
from uvim_fsq.tasks.base import Task

BASELINE_EXAMPLES = 2000
"""Training examples that the mean predictors average, at most: their mean settles early."""


@dataclass(frozen=True)
class Prediction:
    """An evaluator's view of one of several predictions of the same picture."""

    name: str
    evaluator: Evaluator

    @property
    def needs(self) -> frozenset[str]:
        """What the evaluator needs, its prediction among `predictions`."""
        return self.evaluator.needs - {"prediction"} | {"predictions"}

    def update(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """The evaluator's statistics of this prediction."""
        return self.evaluator.update(
            {**item, "prediction": item["predictions"][self.name]}
        )

    def aggregate(self, stats: Sequence[Any]) -> Mapping[str, float | int]:
        """The evaluator's scores."""
        return self.evaluator.aggregate(stats)


@dataclass(frozen=True)
class DepthScoring:
    """RMSE and its kin, see `DepthEvaluator`; predictions are averaged in metres."""

    config: DepthConfig
    headline = "rmse"
    unit = "m"

    def evaluator(self) -> Evaluator:
        """Scores one prediction per picture."""
        return DepthEvaluator(self.config.min_depth, self.config.max_depth)

    def baselines(self, task: Task, source: Source, batch_size: int) -> dict[str, dict]:
        """What predictors that do not look at the picture say, on the model's grid."""
        count = min(len(source), BASELINE_EXAMPLES)
        chosen = np.linspace(0, len(source) - 1, count).round().astype(int).tolist()

        def transform(example, generator):
            prepared = task.preprocess(example, generator, train=False)
            return {"target": prepared["target"]}

        mean = MeanPredictor()
        for batch in evaluation_batches(
            source, transform, batch_size=batch_size, indices=chosen
        ):
            for target in batch["target"][np.asarray(batch["mask"], bool)]:
                valid = valid_pixels(
                    target, self.config.min_depth, self.config.max_depth
                )
                mean.update(target, valid)
        per_pixel = mean.per_pixel()
        constant = np.full_like(per_pixel, mean.constant())
        return {"constant": {"depth": constant}, "per_pixel_mean": {"depth": per_pixel}}

    def target(self, reference: Mapping[str, Any]) -> np.ndarray:
        """What `visualize` shows as the truth."""
        return reference["depth"]


def build_scoring(config: DepthConfig) -> DepthScoring:
    """How a task is scored."""
    return DepthScoring(config)
