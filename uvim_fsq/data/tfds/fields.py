"""Which field of a TFDS dataset is which of ours, and turning their values into ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from uvim_fsq.data.categories import (
    COCO_CATEGORIES,
    check_categories,
    read_categories,
)
from uvim_fsq.data.depth_files import depth_of
from uvim_fsq.data.images import PICTURE_SUFFIXES
from uvim_fsq.data.segments import count_pixels, ids_of_colours
from uvim_fsq.errors import DataError
from uvim_fsq.types import Category, Int, Shaped

FIELDS = ("image", "depth", "panoptic", "segments", "id")
"""Our fields; `image` is needed, `panoptic` and `segments` come together."""

SEGMENT_FIELDS = {
    "segments/id": "id",
    "segments/category": "label",
    "segments/iscrowd": "is_crowd",
    "segments/area": "area",
}
"""Our fields of a segment, and what they are called where nothing else is said."""

KNOWN_FIELDS: dict[str, dict[str, str]] = {
    "nyu_depth_v2": {"image": "image", "depth": "depth"},
    "coco/2017_panoptic": {
        "image": "image",
        "panoptic": "panoptic_image",
        "segments": "panoptic_objects",
        "id": "image/filename",
    },
    "imagenet2012": {"image": "image", "id": "file_name"},
}
"""Of datasets in TFDS's catalogue."""

Labels = tuple[int, ...] | None
"""The category id of each label, or None where labels are category ids already."""


def choose_fields(
    name: str, features: Any, fields: Mapping[str, str] | None
) -> dict[str, str]:
    """The name in the dataset of each of our fields: as given, as known, or the same names.

    Raises `DataError` for a field that we do not have or the dataset does not, and where
    something lacks; it lists what there is.
    """
    if fields is None:
        fields = KNOWN_FIELDS.get(
            name, {each: each for each in FIELDS if each in features}
        )
    fields = dict(fields)
    there = f"{name} has the features {', '.join(features)}"
    ours = (*FIELDS, *SEGMENT_FIELDS)
    for each, theirs in fields.items():
        if each not in ours:
            raise DataError(f"fields are {', '.join(ours)}; got {each!r}")
        if each in FIELDS and theirs not in features:
            raise DataError(f"{there}, not {theirs!r}; say which one is the {each}")
    if "image" not in fields:
        raise DataError(
            f"{there}; say which one is the image, as in fields={{'image': 'rgb'}}"
        )
    if ("panoptic" in fields) != ("segments" in fields):
        raise DataError("the fields panoptic and segments are needed together")
    if "segments" not in fields:
        return fields
    fields = SEGMENT_FIELDS | fields
    inner: Any = getattr(features[fields["segments"]], "feature", {})
    for each in ("segments/id", "segments/category"):
        if not hasattr(inner, "keys") or fields[each] not in inner:
            raise DataError(
                f"expected {fields['segments']!r} of {name} to be a sequence with "
                f"{fields[each]!r} for {each}, found {inner}; name it in the fields"
            )
    return {k: v for k, v in fields.items() if k not in SEGMENT_FIELDS or v in inner}


def choose_categories(
    name: str, categories: Sequence[Category] | str | Path | None
) -> tuple[Category, ...]:
    """The classes as given, from a JSON with COCO's `categories`, or as known."""
    if isinstance(categories, str | Path):
        return read_categories(Path(categories).expanduser())
    if categories is not None:
        check_categories(categories)
        return tuple(categories)
    if name == "coco/2017_panoptic":
        return COCO_CATEGORIES
    raise DataError(
        f"{name}: TFDS does not say which classes are things; give the categories, or a JSON "
        "with a list `categories` of id, name, isthing and color as in COCO's files"
    )


def category_ids(name: str, feature: Any, categories: Sequence[Category]) -> Labels:
    """What the labels of a feature mean: by name if all names agree, else by order."""
    if not hasattr(feature, "names"):
        return None
    by_name = {each.name: each.id for each in categories}
    names = feature.names or []
    if names and all(each in by_name for each in names):
        return tuple(by_name[each] for each in names)
    if feature.num_classes == len(categories):
        return tuple(each.id for each in categories)
    raise DataError(
        f"{name} labels {feature.num_classes} classes ({', '.join(names[:3])}, ...), whose "
        f"names are not those of the {len(categories)} categories; give as many as it labels"
    )


def to_depth(
    depth: Shaped[np.ndarray, "..."], units_per_metre: float | None
) -> dict[str, Any]:
    """`depth` in metres, and its limit where it is of 16 bits, as of `RgbdFolder`."""
    depth = np.asarray(depth)
    if depth.ndim == 3 and depth.shape[2] == 1:
        depth = depth[..., 0]
    if depth.ndim != 2:
        raise DataError(f"expected depth of shape (h, w), found {depth.shape}")
    return depth_of(depth, units_per_metre)


def to_segment_ids(panoptic: Shaped[np.ndarray, "..."]) -> Int[np.ndarray, "h w"]:
    """Ids as they are (h w), or coded as colours, `R + 256 G + 65536 B`."""
    panoptic = np.asarray(panoptic)
    if panoptic.ndim == 3 and panoptic.shape[2] == 1:
        panoptic = panoptic[..., 0]
    if panoptic.ndim == 2 and np.issubdtype(panoptic.dtype, np.integer):
        return panoptic.astype(np.int32)
    if panoptic.ndim != 3 or panoptic.shape[2] != 3 or panoptic.dtype != np.uint8:
        raise DataError(
            "expected segment ids as integers (h, w) or as colours uint8 (h, w, 3), found "
            f"{panoptic.dtype} of shape {panoptic.shape}"
        )
    return ids_of_colours(panoptic)


def to_segments(
    values: Mapping[str, Any],
    fields: Mapping[str, str],
    labels: Labels,
    ids: Int[np.ndarray, "h w"],
) -> list[dict[str, int]]:
    """The segments in the dataset's order; without an area in the data it is that in `ids`."""
    columns = {
        ours: np.asarray(values[fields[ours]]).tolist()
        for ours in SEGMENT_FIELDS
        if ours in fields
    }
    numbers = columns["segments/id"]
    crowds = columns.get("segments/iscrowd", [0] * len(numbers))
    areas = columns.get("segments/area")
    if areas is None:
        counts = count_pixels(ids)
        areas = [counts.get(int(number), 0) for number in numbers]
    kinds = columns["segments/category"]
    return [
        {
            "id": int(number),
            "category_id": int(kind) if labels is None else labels[kind],
            "iscrowd": int(crowd),
            "area": int(area),
        }
        for number, kind, crowd, area in zip(numbers, kinds, crowds, areas, strict=True)
    ]


def without_ending(name: str) -> str:
    """A file name without the ending of a picture; other names as they are.

    >>> without_ending("val2017/000000000139.jpg")
    'val2017/000000000139'
    """
    path = PurePosixPath(name)
    return (
        str(path.with_suffix("")) if path.suffix.lower() in PICTURE_SUFFIXES else name
    )
