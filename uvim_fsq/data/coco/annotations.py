"""The images and annotations of COCO's panoptic JSON, entry by entry."""

from collections.abc import Callable, Iterable
from typing import Any

from uvim_fsq.data.entries import flag, get, integer, whole, wrong
from uvim_fsq.data.segments import LARGEST_ID, Segment
from uvim_fsq.errors import DataError
from uvim_fsq.files import name_problem

ImageId = int | str


def image_id(entry: Any, key: str, what: str) -> ImageId:
    """`entry[key]`, a number or a string; "139" and 139 are one id, as some tools write both."""
    value = get(entry, key, what)
    number = integer(value)
    if number is not None and (not isinstance(value, str) or str(number) == value):
        return number
    if not isinstance(value, str):
        raise wrong(f"`{key}` of {what}", "a number or a string", value)
    return value


def file_name(entry: Any, what: str) -> str:
    """The `file_name` of an entry, which must not lead out of the folder that it is below."""
    name = get(entry, "file_name", what)
    problem = name_problem(name) if isinstance(name, str) else f"{name!r} is no string"
    if problem:
        raise DataError(
            f"`file_name` of {what} must be a path below the folder: {problem}"
        )
    return name


def by_image(
    entries: Iterable[Any],
    key: str,
    make: Callable[[Any, str], Any],
    problems: dict[ImageId, str],
) -> dict[ImageId, Any]:
    """What `make(entry, what)` makes of each entry, by the image id below `key`, `id` or `image_id`.

    What is wrong with one, or that an id comes twice, goes to `problems` by image id; only an entry
    without an id, which belongs to no image, raises.
    """
    made: dict[ImageId, Any] = {}
    for entry in entries:
        name = image_id(entry, key, "an image" if key == "id" else "an annotation")
        what = f"image {name!r}"
        what = what if key == "id" else f"the annotation of {what}"
        if name in made or name in problems:
            problems.setdefault(name, f"{what} is listed twice")
            continue
        try:
            made[name] = make(entry, what)
        except DataError as error:
            problems[name] = str(error)
    return {name: value for name, value in made.items() if name not in problems}


def segments(
    entry: Any, what: str, categories: frozenset[int], doubled: list[str]
) -> list[Segment]:
    """The segments of one annotation, in its order.

    An entry that repeats another to the letter is taken once: the public converter of two-channel
    maps writes such. Where one id has several categories, as in ADE20K's conversion if two of
    them have one colour, the last entry counts, as in COCO's own program; it is named in `doubled`
    and its area is left to be counted, because each entry has that of its own part.
    """
    entries = get(entry, "segments_info", what)
    if not isinstance(entries, list):
        raise wrong(f"`segments_info` of {what}", "a list", entries)
    found: dict[int, Segment] = {}
    for part in entries:
        number = whole(part, "id", f"a segment of {what}", 1, LARGEST_ID)
        segment = _segment(part, number, f"segment {number} of {what}", categories)
        before = found.get(number, segment)
        if before != segment:
            doubled.append(
                f"segment {number} of {what}, of category {before['category_id']} and then "
                f"{segment['category_id']}"
            )
            segment.pop("area", None)
        found[number] = segment
    return list(found.values())


def _segment(part: Any, number: int, what: str, categories: frozenset[int]) -> Segment:
    segment = {
        "id": number,
        "category_id": whole(part, "category_id", what, 0),
        "iscrowd": flag(part, "iscrowd", what) if "iscrowd" in part else 0,
    }
    if segment["category_id"] not in categories:
        raise DataError(
            f"{what} is of category {segment['category_id']}, which is not among `categories`"
        )
    if "area" in part:
        segment["area"] = whole(part, "area", what, 1)
    return segment
