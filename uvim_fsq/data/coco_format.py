"""COCO's panoptic format: a PNG of segment ids for each picture, and one JSON that explains them.

The PNG is 8-bit RGB with id = R + 256 G + 65536 B, 0 for void, and at most 2^24 - 1. The JSON holds
`images` (`id`, `file_name`, `height`, `width`), `categories` (`id`, `name`, `isthing`, `color`) and
`annotations` (`image_id`, the PNG's `file_name`, and `segments_info` with `id`, `category_id`,
`iscrowd`, `area`, `bbox` for each segment). A JSON of predictions needs `annotations` only, whose
segments need `id` and `category_id` only.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.coco_json import (
    LARGEST_ID,
    category,
    get,
    read_json,
    refuse_repeats,
    segments,
)
from uvim_fsq.data.errors import BrokenFileError, DataError
from uvim_fsq.data.images import decode, read_whole_file
from uvim_fsq.types import Category, Int

ImageId = int | str
Segment = dict[str, int]
"""`id`, `category_id`, `iscrowd` (0 or 1) and, in a ground truth, `area` in pixels."""

_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGBA"}


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


@dataclass(frozen=True)
class CocoIndex:
    """What a JSON says; pictures and annotations by image id, in the order of the file."""

    categories: tuple[Category, ...]
    images: dict[ImageId, CocoImage]
    annotations: dict[ImageId, CocoAnnotation]


def read_index(path: str | Path) -> CocoIndex:
    """Read the JSON of a ground truth and check all that can be checked without the PNGs.

    A picture may lack an annotation. A category without `color` gets one of its own. Raises
    `DataError` for a file that is not such a JSON, a key that lacks, an id that comes twice, an
    annotation of a picture that is not listed, a segment of a category that is not listed.
    """
    content = read_json(path, ("images", "annotations", "categories"))
    with _naming(path):
        categories = tuple(map(category, content["categories"]))
        refuse_repeats("category", [each.id for each in categories])
        names = [get(e, "id", int | str, "an image") for e in content["images"]]
        refuse_repeats("image", names)
        images = {
            name: CocoImage(
                get(entry, "file_name", str, f"image {name!r}"),
                get(entry, "height", int, f"image {name!r}"),
                get(entry, "width", int, f"image {name!r}"),
            )
            for name, entry in zip(names, content["images"], strict=True)
        }
        annotations = _annotations(content["annotations"], categories, areas=True)
        strangers = [name for name in annotations if name not in images]
        if strangers:
            raise DataError(
                f"an annotation belongs to image {strangers[0]!r}, which is not among "
                "`images`"
            )
    return CocoIndex(categories, images, annotations)


def read_predictions(
    path: str | Path, categories: Iterable[Category]
) -> dict[ImageId, CocoAnnotation]:
    """Read the `annotations` of a JSON of predictions, whose classes must be among `categories`.

    Segments without `iscrowd` have 0, and no `area` where none is given. Errors as `read_index`.
    """
    content = read_json(path, ("annotations",))
    with _naming(path):
        return _annotations(content["annotations"], categories, areas=False)


def read_ids(path: str | Path) -> Int[np.ndarray, "h w"]:
    """Read the segment id of each pixel from a PNG.

    Raises `BrokenFileError` for a PNG that is damaged or is anything but 8-bit RGB.
    """
    data = read_whole_file(path)
    if not data.startswith(b"\x89PNG"):
        raise BrokenFileError(path, "expected an 8-bit RGB PNG, found another format")
    bits, kind = data[24], data[25]
    if (bits, kind) != (8, 2):
        raise BrokenFileError(
            path,
            "expected an 8-bit RGB PNG, whose colours are segment ids, found "
            f"{bits}-bit {_KINDS.get(kind, 'unknown')}; save it as plain RGB",
        )
    # Not the colours of a viewer: an orientation in the file must not turn the ids.
    picture = decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    # Four bytes R, G, B, 255 are one little-endian integer.
    ids = cv2.cvtColor(picture, cv2.COLOR_BGR2RGBA).view("<i4")[..., 0]
    return np.bitwise_and(ids, LARGEST_ID, out=ids)


def check_ids(
    ids: Int[np.ndarray, "h w"],
    segments: Sequence[Mapping[str, Any]],
    path: str | Path,
    size: tuple[int, int] | None = None,
) -> None:
    """Raise `BrokenFileError` about the PNG at `path` unless it and the JSON tell of the same.

    `ids` must be of `size` (height, width), if that is given, and hold the ids of all `segments`,
    and no others but void.
    """
    if size is not None and ids.shape != tuple(size):
        raise BrokenFileError(
            path,
            f"its size, {ids.shape[0]} x {ids.shape[1]}, is not that of its picture, "
            f"{size[0]} x {size[1]} (height x width)",
        )
    painted = set(np.unique(ids).tolist()) - {0}
    listed = {segment["id"] for segment in segments}
    if painted != listed:
        raise BrokenFileError(path, _difference(painted - listed, listed - painted))


def write_ids(path: str | Path, ids: Int[np.ndarray, "h w"]) -> None:
    """Write segment ids, 0 to 2^24 - 1, as an RGB PNG; replaces the file at once."""
    if ids.size == 0 or ids.min() < 0 or ids.max() > LARGEST_ID:
        raise ValueError(
            f"expected segment ids from 0 to {LARGEST_ID}, found shape {ids.shape}"
            + (f" and values from {ids.min()} to {ids.max()}" if ids.size else "")
        )
    rgba = np.ascontiguousarray(ids, "<u4").view(np.uint8).reshape(*ids.shape, 4)
    _, png = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGR))
    _write(path, png.tobytes())


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
    _write(path, json.dumps(content).encode())


def _annotations(
    entries: list[Any], categories: Iterable[Category], areas: bool
) -> dict[ImageId, CocoAnnotation]:
    known = frozenset(each.id for each in categories)
    names = [get(entry, "image_id", int | str, "an annotation") for entry in entries]
    refuse_repeats("the annotation of image", names)
    return {
        name: CocoAnnotation(
            get(entry, "file_name", str, f"the annotation of image {name!r}"),
            segments(entry, name, known, areas),
        )
        for name, entry in zip(names, entries, strict=True)
    }


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Puts the file's name before a problem with an entry of it."""
    try:
        yield
    except DataError as error:
        raise BrokenFileError(path, str(error)) from error


def _difference(painted: set[int], listed: set[int]) -> str:
    """What only the PNG, or only the JSON, has."""
    found = []
    for ids, here, there in ((painted, "PNG", "JSON"), (listed, "JSON", "PNG")):
        if ids:
            shown = ", ".join(map(str, sorted(ids)[:5])) + ", ..." * (len(ids) > 5)
            found.append(f"{len(ids)} in the {here} that the {there} lacks ({shown})")
    return (
        "its segment ids are not those of the JSON: "
        f"{' and '.join(found)}; write both from the same segments"
    )


def _write(path: str | Path, data: bytes) -> None:
    """Write under a temporary name and rename, so that no reader ever sees half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.stem}-", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
