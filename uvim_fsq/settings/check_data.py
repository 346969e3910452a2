"""Checks of what is predicted and what it is learned from; a part of `uvim_fsq.settings.check`."""

from uvim_fsq.fields import at_least, between, positive, require, seed
from uvim_fsq.settings.data import (
    DataConfig,
    DepthConfig,
    FolderConfig,
    PanopticConfig,
    RecordsConfig,
    ScenesConfig,
    TaskConfig,
    TfdsConfig,
)

_LARGEST_IMAGE = 16_384
"""Rows or columns; OpenCV resizes up to 32,767."""

_LEAST_UNITS = 1e-6
"""Units of a thousand kilometres; far below, depth in metres is no float32."""

_MOST_CLASSES = 2**15 - 1
"""A pixel's class is a 16-bit number in a batch."""


def check_task(task: TaskConfig) -> None:
    """As `check`, of these settings."""
    for size in task.image_size:
        between(1, _LARGEST_IMAGE, "task.image_size", size)
    if isinstance(task, DepthConfig):
        between(2, _MOST_CLASSES, "task.bins", task.bins)
        require(
            0 <= task.min_depth < task.max_depth,
            f"task.min_depth must be at least 0 and less than task.max_depth, found "
            f"{task.min_depth} and {task.max_depth}",
        )
    elif isinstance(task, PanopticConfig):
        between(2, _MOST_CLASSES, "task.instances", task.instances)
        require(
            task.classes == 0 or task.classes >= 2,
            "task.classes must be 0, for as many as the data has, or at least 2, since one is "
            f"void, found {task.classes}",
        )
        between(0, _MOST_CLASSES, "task.classes", task.classes)
        require(
            0 <= task.min_fraction < 1,
            f"task.min_fraction must be at least 0 and less than 1, found {task.min_fraction}",
        )
    low, high = task.crop_area
    require(
        0 < low <= high <= 1,
        f"task.crop_area must be two shares from above 0 to 1, the smaller first, found "
        f"{low} {high}",
    )


_SOURCES = {
    "depth": ("scenes", "folder", "records", "tfds"),
    "panoptic": ("scenes", "coco", "records", "tfds"),
    "colorization": ("scenes", "folder", "coco", "pictures", "records", "tfds"),
}
"""Sources that have what a task needs."""

_FOLDERS = {
    "folder": "RGB-D frames with rgb/ and depth/",
    "coco": "pictures with panoptic labels in COCO's format",
    "pictures": "pictures",
    "records": "ArrayRecord files, as `python scripts/prepare_data.py pack` writes it",
}


def check_data(task: TaskConfig, data: DataConfig) -> None:
    """As `check`, of these settings."""
    require(
        data.kind in _SOURCES[task.kind],
        f"the {task.kind} task cannot learn from the source {data.kind!r}: add --source with one "
        f"of {', '.join(_SOURCES[task.kind])}",
    )
    if isinstance(data, ScenesConfig):
        for size in data.size:
            between(8, _LARGEST_IMAGE, "data.size", size)
        at_least(1, "data.train_count", data.train_count)
        at_least(1, "data.validation_count", data.validation_count)
        seed("data.seed", data.seed)
        return
    if isinstance(data, TfdsConfig):
        require(
            bool(data.name),
            "data.name must name a TFDS dataset such as nyu_depth_v2, found none: add "
            "--data.name NAME",
        )
        _check_units(data.units_per_metre)
        return
    require(
        bool(data.path),
        f"data.path must name a folder of {_FOLDERS[data.kind]}, found none: add "
        "--data.path FOLDER",
    )
    if isinstance(data, FolderConfig):
        _check_units(data.units_per_metre)
    if not isinstance(data, RecordsConfig):
        require(
            0 < data.validation_fraction < 1,
            "data.validation_fraction must lie between 0 and 1, found "
            f"{data.validation_fraction}",
        )


def _check_units(units_per_metre: float | None) -> None:
    if units_per_metre is not None:
        positive("data.units_per_metre", units_per_metre)
        require(
            units_per_metre >= _LEAST_UNITS,
            f"data.units_per_metre must be at least {_LEAST_UNITS:g}, found {units_per_metre}",
        )
