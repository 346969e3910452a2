"""Training targets, of which predictors learn that do not look at the picture: the least that a model has to beat."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.loader import evaluation_batches
from uvim_fsq.data.spread import spread
from uvim_fsq.tasks.base import Task

BASELINE_EXAMPLES = 2000
"""Training examples that are averaged, at most: their mean settles early."""


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
