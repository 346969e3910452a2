"""COCO's panoptic format: a PNG of segment ids for each picture, and one JSON that explains them.

The JSON holds `images` (`id`, `file_name`, `height`, `width`), `categories` (`id`, `name`, `isthing`,
`color`) and `annotations` (`image_id`, the PNG's `file_name`, and `segments_info` with `id`,
`category_id`, `iscrowd`, `area`, `bbox` for each segment). `color`, `iscrowd` and `area` may lack, and
`bbox` is not read. A JSON of predictions needs `annotations` only, whose segments need `id` and
`category_id` only. The PNGs are those of `png`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.categories import categories
from uvim_fsq.data.coco.annotations import ImageId, by_image, file_name, segments
from uvim_fsq.data.entries import read_json, whole
from uvim_fsq.data.listing import say_once
from uvim_fsq.data.segments import Segment
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.files import write_whole
from uvim_fsq.types import Category, Int


@dataclass(frozen=True)
class CocoImage:
    """A picture of the dataset, and its size in pixels."""

    file_name: str
    height: int
    width: int


@dataclass(frozen=True)
class CocoAnnotation:
    """The PNG of one picture, and its segments in the order of the JSON."""

    file_name: str
    segments: list[Segment]


@dataclass
class CocoIndex:
    """What a JSON says; pictures and annotations by image id, in the order of the file."""

    categories: tuple[Category, ...]
    images: dict[ImageId, CocoImage] = field(default_factory=dict)
    annotations: dict[ImageId, CocoAnnotation] = field(default_factory=dict)
    problems: dict[ImageId, str] = field(default_factory=dict)
    """What is wrong with single pictures or annotations, which are then not among the others."""
    doubled: list[str] = field(default_factory=list)
    """The segments with several entries that contradict each other, of which the last counts."""

    def annotate(self, entries: list[Any]) -> None:
        """Take in the annotations of a JSON."""
        known = frozenset(each.id for each in self.categories)

        def make(entry: Any, what: str) -> CocoAnnotation:
            listed = segments(entry, what, known, self.doubled)
            return CocoAnnotation(file_name(entry, what), listed)

        self.annotations = by_image(entries, "image_id", make, self.problems)

    def say_doubled(self, path: str | Path) -> None:
        """Warn of such segments, of the JSON at `path`."""
        if self.doubled:
            say_once(
                f"{path}: {len(self.doubled)} segments are listed twice and contradict themselves, such "
                f"as {self.doubled[0]}: the last entry counts, as in COCO's own program"
            )


def read_index(path: str | Path, for_images: bool = True) -> CocoIndex:
    """Read the JSON of a ground truth and check all that can be checked without the PNGs.

    A picture may lack an annotation, but no annotation its picture; without `for_images` that
    is not looked at, nor need there be `images`. What is wrong with a single one goes to
    `problems`. Raises `DataError` for a file that is not such a JSON and for wrong categories.
    """
    lists = ("images", "annotations", "categories")
    content = read_json(path, lists if for_images else lists[1:])
    with _naming(path):
        index = CocoIndex(categories(content["categories"]))
        listed = content.get("images", [])
        index.images = by_image(listed, "id", _image, index.problems)
        index.annotate(content["annotations"])
    images, annotations, problems = index.images, index.annotations, index.problems
    for name in annotations.keys() - images.keys() if for_images else ():
        problems.setdefault(
            name,
            f"an annotation belongs to image {name!r}, which is not among `images`",
        )
    for found in (images, annotations):
        for name in problems.keys() & found.keys():
            del found[name]
    return index


def read_predictions(path: str | Path, known: Sequence[Category]) -> CocoIndex:
    """Read the `annotations` of a JSON of predictions, whose classes must be among `known`.

    Segments without `iscrowd` have 0, and no `area` where none is given. Errors as `read_index`.
    """
    content = read_json(path, ("annotations",))
    index = CocoIndex(tuple(known))
    with _naming(path):
        index.annotate(content["annotations"])
    return index


def describe(
    ids: Int[np.ndarray, "h w"], segments: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """`segments_info` of a picture: `area` in pixels and `bbox` (x, y, width, height) as painted."""
    described = []
    for segment in segments:
        mask = (ids == segment["id"]).astype(np.uint8)
        entry = {name: int(segment[name]) for name in ("id", "category_id")}
        entry |= {"iscrowd": int(segment.get("iscrowd", 0)), "area": int(mask.sum())}
        described.append({**entry, "bbox": [int(n) for n in cv2.boundingRect(mask)]})
    return described


def write_index(
    path: str | Path,
    categories: Iterable[Category],
    images: Mapping[ImageId, CocoImage],
    annotations: Mapping[ImageId, tuple[str, Sequence[Mapping[str, Any]]]],
) -> None:
    """Write the JSON; replaces the file at once.

    `annotations` are, by image id, the PNG's name and `segments_info` as `describe` makes it.
    """
    content = {
        "images": [{"id": name, **vars(image)} for name, image in images.items()],
        "annotations": [
            {"image_id": name, "file_name": file_name, "segments_info": list(segments)}
            for name, (file_name, segments) in annotations.items()
        ],
        "categories": [
            {
                **{"id": each.id, "name": each.name, "isthing": int(each.isthing)},
                **{"color": list(each.color), "supercategory": each.name},
            }
            for each in categories
        ],
    }
    write_whole(path, json.dumps(content, allow_nan=False).encode())


def _image(entry: Any, what: str) -> CocoImage:
    height, width = (whole(entry, side, what, 1) for side in ("height", "width"))
    return CocoImage(file_name(entry, what), height, width)


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Puts the file's name before a problem with an entry of it."""
    try:
        yield
    except DataError as error:
        raise BrokenFileError(path, str(error)) from error
