"""Entries of COCO's JSON, checked one by one; problems are sentences that name the entry."""

import colorsys
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any

from uvim_fsq.data.errors import BrokenFileError, DataError
from uvim_fsq.types import Category

LARGEST_ID = 2**24 - 1
"""Three bytes; 0 is void."""


def read_json(path: str | Path, lists: Sequence[str]) -> dict[str, Any]:
    """The object in a JSON file, which must hold `lists`."""
    try:
        content = json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise BrokenFileError(path, "there is no such file") from error
    except OSError as error:
        raise BrokenFileError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BrokenFileError(
            path, f"expected a JSON in COCO's panoptic format, found no JSON: {error}"
        ) from error
    for name in lists:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            found = ", ".join(content) if isinstance(content, dict) else "no object"
            raise BrokenFileError(
                path,
                f"expected a JSON in COCO's panoptic format with the list `{name}`, "
                f"found {found or 'nothing'}",
            )
    return content


def get(entry: Any, key: str, kind: type | UnionType, what: str) -> Any:
    """`entry[key]`, which must be of a kind."""
    if not isinstance(entry, dict):
        raise DataError(f"{what} must be an object, found {entry!r}")
    if key not in entry:
        raise DataError(f"{what} lacks `{key}`: it has {', '.join(entry) or 'nothing'}")
    value = entry[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        name = getattr(kind, "__name__", str(kind))
        raise DataError(f"`{key}` of {what} must be {name}, found {value!r}")
    return value


def category(entry: Any) -> Category:
    """A category; one without `color` gets a colour that its id determines."""
    number = get(entry, "id", int, "a category")
    what = f"category {number}"
    isthing = entry.get("isthing")
    if isthing not in (0, 1):
        raise DataError(
            f"{what} needs `isthing`, 1 for things and 0 for stuff, found {isthing!r}: "
            "these may be the categories of boxes, not of panoptic segments"
        )
    if number < 1:
        raise DataError(f"{what} must have an id of at least 1; 0 is void")
    color = entry.get("color")
    if color is None:
        # Steps of the golden ratio keep the hues of neighbours apart.
        hue = number * 0.618033988749895 % 1
        color = [round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.65, 0.9)]
    if not (
        isinstance(color, list)
        and len(color) == 3
        and all(isinstance(c, int) and 0 <= c <= 255 for c in color)
    ):
        raise DataError(f"`color` of {what} must be RGB from 0 to 255, found {color!r}")
    name = get(entry, "name", str, what)
    return Category(number, name, bool(isthing), (color[0], color[1], color[2]))


def segments(
    entry: Any, image: int | str, categories: frozenset[int], areas: bool
) -> list[dict[str, int]]:
    """The segments of one annotation, in its order; with `areas` each must have one.

    An entry that repeats another to the letter is taken once: the public converter of
    two-channel maps writes such.
    """
    found: dict[int, dict[str, int]] = {}
    for part in get(entry, "segments_info", list, f"the annotation of image {image!r}"):
        number = get(part, "id", int, f"a segment of image {image!r}")
        what = f"segment {number} of image {image!r}"
        if not 0 < number <= LARGEST_ID:
            raise DataError(f"{what} must have an id from 1 to {LARGEST_ID}")
        segment = {
            "id": number,
            "category_id": get(part, "category_id", int, what),
            "iscrowd": int(part.get("iscrowd", 0)),
        }
        if segment["category_id"] not in categories:
            raise DataError(
                f"{what} is of category {segment['category_id']}, which is not among "
                "`categories`"
            )
        if segment["iscrowd"] not in (0, 1):
            raise DataError(f"`iscrowd` of {what} must be 0 or 1")
        if areas or "area" in part:
            segment["area"] = int(get(part, "area", int | float, what))
            if segment["area"] < 1:
                raise DataError(f"{what} must have an area of at least 1 pixel")
        if found.get(number, segment) != segment:
            raise DataError(f"{what} is listed twice")
        found[number] = segment
    return list(found.values())


def refuse_repeats(what: str, names: Iterable[int | str]) -> None:
    """Raise `DataError` for the first name that comes a second time."""
    seen = set()
    for name in names:
        if name in seen:
            raise DataError(f"{what} {name!r} is listed twice")
        seen.add(name)
