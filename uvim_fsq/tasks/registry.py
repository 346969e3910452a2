"""Makes the task of a run, and looks whether its data has what the task needs."""

import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.errors import DataError
from uvim_fsq.data.loader import Transform
from uvim_fsq.settings.run import (
    CategoryConfig,
    ColorizationConfig,
    ConfigError,
    DepthConfig,
    PanopticConfig,
    RunConfig,
    TaskConfig,
    replace,
)
from uvim_fsq.tasks.base import Task
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.tasks.depth.values import say_depth
from uvim_fsq.tasks.panoptic.task import PanopticTask
from uvim_fsq.types import Category

_LABELS = {
    "depth": ("depth",),
    "panoptic": ("panoptic", "segments"),
    "colorization": (),
}
"""What an example must hold for a task, besides its image."""


def build_task(config: TaskConfig) -> Task:
    """The task of a run."""
    if isinstance(config, DepthConfig):
        return DepthTask(
            image_size=config.image_size,
            min_depth=config.min_depth,
            max_depth=config.max_depth,
            bins=config.bins,
            crop=config.crop,
            flip=config.flip,
            crop_area=config.crop_area,
        )
    if isinstance(config, ColorizationConfig):
        return ColorizationTask(
            image_size=config.image_size, flip=config.flip, crop_area=config.crop_area
        )
    return PanopticTask(
        categories_of(config),
        image_size=config.image_size,
        classes=config.classes,
        instances=config.instances,
        min_fraction=config.min_fraction,
        flip=config.flip,
        crop_area=config.crop_area,
    )


def categories_of(config: PanopticConfig) -> tuple[Category, ...]:
    """The categories that a model knows; nameless ones before it has seen data.

    Raises:
      ConfigError: if not even their number is known.
    """
    if config.categories:
        return tuple(
            Category(c.id, c.name, c.isthing, c.color) for c in config.categories
        )
    if not config.classes:
        raise ConfigError(
            "the number of classes is not known before the data is read: give --task.classes, "
            "void included"
        )
    return tuple(
        Category(number, f"class {number}", True, (128, 128, 128))
        for number in range(1, config.classes)
    )


def with_categories(config: RunConfig, source: Source) -> RunConfig:
    """The settings with the categories of the data, where the task has any.

    Settings of a trained model name the categories that it knows. For data with others the number
    of classes follows the data again, unless the model was given more than it had categories.

    Raises:
      ConfigError: if the data has none, or more than the settings have classes.
    """
    if not isinstance(config.task, PanopticConfig):
        return config
    if not source.categories:
        raise ConfigError(
            "the panoptic task needs data with categories, and this source has none: choose "
            "another --source"
        )
    known, classes = config.task.categories, config.task.classes
    others = [c.name for c in known] != [c.name for c in source.categories]
    if not classes or (known and others and classes == len(known) + 1):
        classes = len(source.categories) + 1
    if classes <= len(source.categories):
        raise ConfigError(
            f"task.classes is {classes}, void included, but the data has "
            f"{len(source.categories)} categories: give at least {len(source.categories) + 1}, or "
            "0 for as many as there are"
        )
    categories = tuple(
        CategoryConfig(c.id, c.name, bool(c.isthing), c.color)
        for c in source.categories
    )
    return replace(config, task__categories=categories, task__classes=classes)


def check_source(task: TaskConfig, source: Source, name: str = "the data") -> None:
    """Looks at the first example, and at the values of depth, which it prints.

    Raises:
      DataError: if the source lacks the task's labels, has other categories than the model, or depth
        that cannot be.
    """
    example = source[0]
    missing = [name for name in _LABELS[task.kind] if name not in example]
    if missing:
        raise DataError(
            f"the {task.kind} task needs examples with {' and '.join(missing)}, and this source "
            f"has {', '.join(sorted(example))}: choose another --source or other data"
        )
    if isinstance(task, DepthConfig):
        say_depth(name, task, source)
    if isinstance(task, PanopticConfig) and task.categories:
        known = {(c.id, c.name) for c in task.categories}
        unknown = [c.name for c in source.categories if (c.id, c.name) not in known]
        if unknown:
            raise DataError(
                f"the data has categories that the model does not know ({', '.join(unknown[:5])}"
                f"{', ...' if len(unknown) > 5 else ''}): use data with the categories that it was "
                "trained on"
            )


def example_transform(task: Task, *, train: bool) -> Transform:
    """What the loader's threads make of an example, augmented if it is to be trained on."""

    def transform(example, generator: np.random.Generator) -> dict[str, np.ndarray]:
        prepared = task.preprocess(example, generator, train=train)
        return {"image": prepared["image"], "planes": task.encode(prepared["target"])}

    return transform


def segments_left_out(task: Task) -> str | None:
    """A sentence on the segments that had no slot in what the task has prepared; None if all had."""
    if not isinstance(task, PanopticTask) or not task.overflow.pictures:
        return None
    overflow = task.overflow
    return (
        f"{overflow.segments} segments of {overflow.pictures} pictures became void, because they "
        f"had more than the {task.channels['instances'] - 1} that --task.instances allows (pictures "
        "count each time they were read)"
    )
