"""How panoptic segmentation is scored."""

from dataclasses import dataclass

import numpy as np

from uvim_fsq.evaluators.baselines import ModePredictor
from uvim_fsq.evaluators.panoptic import PanopticEvaluator
from uvim_fsq.evaluators.runner import Evaluator
from uvim_fsq.tasks.panoptic.settings import PanopticConfig, categories_of


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
        """The most frequent class, and that of each pixel; each class is one segment."""
        mode = ModePredictor(task.channels["semantics"])
        for target in targets:
            mode.update(target["semantics"])
        per_pixel = mode.per_pixel()
        constant = np.full_like(per_pixel, mode.constant())
        return {
            name: {"semantics": classes, "instances": classes}
            for name, classes in (("constant", constant), ("per_pixel_mode", per_pixel))
        }

    def unpredicted(self, reference):
        """None."""
        return {}

    def target(self, reference):
        """Segments."""
        return reference
