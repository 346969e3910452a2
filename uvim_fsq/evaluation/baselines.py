"""What predictors that do not look at the picture say: the least that a model has to beat."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from evaluators.baselines import MeanPredictor, ModePredictor
from evaluators.depth import valid_pixels
from uvim_fsq.data.base import Source
from uvim_fsq.data.loader import evaluation_batches
from uvim_fsq.data.spread import spread
from uvim_fsq.settings.run import DepthConfig
from uvim_fsq.tasks.base import Task

BASELINE_EXAMPLES = 2000
"""Training examples that are averaged, at most: their mean settles early."""

Planes = dict[str, np.ndarray]
"""As a task's `decode` names them, of one picture."""


def depth_means(config: DepthConfig, targets: Iterable[Any]) -> dict[str, Planes]:
    """The mean depth, and the mean depth of each pixel."""
    mean = MeanPredictor()
    for target in targets:
        mean.update(target, valid_pixels(target, config.min_depth, config.max_depth))
    per_pixel = mean.per_pixel()
    constant = np.full_like(per_pixel, mean.constant())
    return {"constant": {"depth": constant}, "per_pixel_mean": {"depth": per_pixel}}


def color_means(targets: Iterable[Any]) -> dict[str, Planes]:
    """The mean colour, and the mean colour of each pixel."""
    mean = MeanPredictor()
    for target in targets:
        mean.update(target, np.ones(target.shape[:2], bool))
    per_pixel = mean.per_pixel()
    constant = np.broadcast_to(mean.constant(), per_pixel.shape)
    return {"constant": {"color": constant}, "per_pixel_mean": {"color": per_pixel}}


def most_frequent_classes(task: Task, targets: Iterable[Any]) -> dict[str, Planes]:
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


def training_targets(
    task: Task, source: Source, batch_size: int, threads: int | None
) -> Iterator[Any]:
    """Targets of training examples, unaugmented, spread evenly over the source."""

    def transform(example, generator):
        target = task.preprocess(example, generator, train=False)["target"]
        return target if isinstance(target, dict) else {"target": target}

    for batch in evaluation_batches(
        source,
        transform,
        batch_size=batch_size,
        indices=spread(len(source), BASELINE_EXAMPLES),
        threads=threads,
    ):
        targets = {k: v for k, v in batch.items() if k not in ("mask", "index")}
        for i in np.flatnonzero(batch["mask"]):
            target = {name: values[i] for name, values in targets.items()}
            yield target.get("target", target)
