"""How each task is scored: its evaluator, and its baselines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from evaluators.color import PsnrEvaluator
from evaluators.depth import DepthEvaluator
from evaluators.panoptic import PanopticEvaluator
from evaluators.runner import Evaluator
from uvim_fsq.evaluation import baselines
from uvim_fsq.settings.run import (
    ColorizationConfig,
    DepthConfig,
    PanopticConfig,
    TaskConfig,
)
from uvim_fsq.tasks.base import Task
from uvim_fsq.tasks.registry import categories_of


@dataclass(frozen=True)
class Prediction:
    """The evaluators' view of one of several predictions of the same picture."""

    name: str
    evaluators: Sequence[Evaluator]

    @property
    def needs(self) -> frozenset[str]:
        """What the evaluators need, their prediction among `predictions`."""
        needs = frozenset[str]().union(*(each.needs for each in self.evaluators))
        return needs - {"prediction"} | {"predictions"}

    def update(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """The evaluators' statistics of this prediction."""
        item = {**item, "prediction": item["predictions"][self.name]}
        stats: dict[str, Any] = {}
        for evaluator in self.evaluators:
            stats |= evaluator.update(item)
        return stats

    def aggregate(self, stats: Sequence[Any]) -> Mapping[str, float | int]:
        """The evaluators' scores."""
        scores: dict[str, float | int] = {}
        for evaluator in self.evaluators:
            scores |= evaluator.aggregate(stats)
        return scores


@runtime_checkable
class Scoring(Protocol):
    """What the evaluation of a run asks of a task."""

    @property
    def headline(self) -> str:
        """The score that ranks pictures and models."""
        ...

    @property
    def unit(self) -> str:
        """Of the headline, for people."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Of the headline."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The scores of the table."""
        ...

    @property
    def further(self) -> Sequence[str]:
        """Those that stand beside the headline where models are compared."""
        ...

    def evaluator(self) -> Evaluator:
        """Scores one prediction per picture."""
        ...

    def baselines(
        self, task: Task, targets: Iterable[Any]
    ) -> dict[str, dict[str, Any]]:
        """Planes of predictors that know training targets and no picture, on the model's grid."""
        ...

    def unpredicted(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """Predictions, by name, that can be had of a picture without any model."""
        ...

    def target(self, reference: Mapping[str, Any]) -> Any:
        """What `visualize` shows as the truth."""
        ...


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
        """Mean depths."""
        return baselines.depth_means(self.config, targets)

    def unpredicted(self, reference):
        """None."""
        return {}

    def target(self, reference):
        """Metres."""
        return reference["depth"]


@dataclass(frozen=True)
class PanopticScoring:
    """Panoptic quality, see `PanopticEvaluator`; maps of segments have no mean."""

    config: PanopticConfig
    headline = "pq"
    unit = "%"
    higher_is_better = True
    columns = ("pq", "sq", "rq", "pq_things", "pq_stuff")
    further = ("sq", "rq", "pq_things", "pq_stuff")

    def evaluator(self) -> Evaluator:
        """PQ, SQ and RQ."""
        return PanopticEvaluator(categories_of(self.config))

    def baselines(self, task, targets):
        """Most frequent classes."""
        return baselines.most_frequent_classes(task, targets)

    def unpredicted(self, reference):
        """None."""
        return {}

    def target(self, reference):
        """Segments."""
        return reference


@dataclass(frozen=True)
class ColorizationScoring:
    """PSNR and colourfulness, see `PsnrEvaluator`; predictions are averaged as colours."""

    config: ColorizationConfig
    headline = "psnr"
    unit = "dB"
    higher_is_better = True
    columns = ("psnr", "colorfulness", "colorfulness_ratio")
    further = ("colorfulness_ratio",)

    def evaluator(self) -> Evaluator:
        """PSNR and colourfulness."""
        return PsnrEvaluator()

    def baselines(self, task, targets):
        """Mean colours."""
        return baselines.color_means(targets)

    def unpredicted(self, reference):
        """The grey picture as it is."""
        # Scaled as the truth is, see `ColorizationTask`: a grey truth is met exactly.
        return {"grey": reference["image"].astype(np.float32) / 128 - 1}

    def target(self, reference):
        """Colours."""
        return reference["color"]


def build_scoring(config: TaskConfig) -> Scoring:
    """How a task is scored."""
    if isinstance(config, DepthConfig):
        return DepthScoring(config)
    if isinstance(config, PanopticConfig):
        return PanopticScoring(config)
    return ColorizationScoring(config)
