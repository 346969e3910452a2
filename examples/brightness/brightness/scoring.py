"""How the toy task is scored: the share of pixels with the right class."""

from dataclasses import dataclass

import numpy as np

from uvim_fsq.evaluators.baselines import ModePredictor


class Accuracy:
    """Share of right pixels of an image, and its mean over images."""

    needs = frozenset({"prediction", "reference"})

    def update(self, item):
        right = item["prediction"] == item["reference"]["brightness"]
        return {"accuracy": float(np.mean(right))}

    def aggregate(self, stats):
        return {"accuracy": float(np.mean([each["accuracy"] for each in stats]))}


@dataclass(frozen=True)
class BrightnessScoring:
    """Accuracy, against the most frequent classes."""

    levels: int
    headline = "accuracy"
    unit = ""
    higher_is_better = True
    columns = ("accuracy",)
    further = ()

    def evaluator(self):
        return Accuracy()

    def baselines(self, task, targets):
        mode = ModePredictor(self.levels)
        for target in targets:
            mode.update(target)
        per_pixel = mode.per_pixel().astype(np.uint8)
        constant = np.full_like(per_pixel, mode.constant())
        return {
            "constant": {"brightness": constant},
            "per_pixel_mode": {"brightness": per_pixel},
        }

    def unpredicted(self, reference):
        return {}

    def target(self, reference):
        return reference["brightness"]
