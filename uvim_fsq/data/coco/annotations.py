"""Entries of COCO's JSON, checked one by one; problems are sentences that name the entry."""

import colorsys
import json
import re
import reprlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.files import has_controls, name_problem
from uvim_fsq.types import Category

ImageId = int | str
Segment = dict[str, int]
"""`id`, `category_id`, `iscrowd` (0 or 1) and, in a ground truth, `area` in pixels."""

LARGEST_ID = 2**24 - 1
"""Three bytes; 0 is void."""

# As tools write it that take numbers for text; longer ones are no sizes, areas or ids.
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?")


def read_json(path: str | Path, lists: Sequence[str]) -> dict[str, Any]:
    """The object in a JSON file, which must hold `lists`."""
    try:
        content = json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise BrokenFileError(path, "there is no such file") from error
    except OSError as error:
        raise BrokenFileError(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
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


def get(entry: Any, key: str, what: str) -> Any:
    """`entry[key]`."""
    if not isinstance(entry, dict):
        raise DataError(f"{what} must be an object, found {reprlib.repr(entry)}")
    if key not in entry:
        raise DataError(f"{what} lacks `{key}`: it has {', '.join(entry) or 'nothing'}")
    return entry[key]


def whole(entry: Any, key: str, what: str, least: int, largest: int | None = None):
    """`entry[key]` as an integer in a range; 640.0 and "640" are 640."""
    value = get(entry, key, what)
    number = _integer(value)
    if number is None or number < least or (largest is not None and number > largest):
        fitting = f"at least {least}" if largest is None else f"{least} to {largest}"
        raise DataError(
            f"`{key}` of {what} must be a whole number, {fitting}, found {reprlib.repr(value)}"
        )
    return number


def flag(entry: Any, key: str, what: str) -> int:
    """`entry[key]` as 0 or 1, which false and true are too."""
    value = get(entry, key, what)
    number = int(value) if isinstance(value, bool) else _integer(value)
    if number not in (0, 1):
        raise DataError(
            f"`{key}` of {what} must be 0 or 1, found {reprlib.repr(value)}"
        )
    return number


def image_id(entry: Any, key: str, what: str) -> ImageId:
    """`entry[key]`, a number or a string; "139" and 139 are one id, as some tools write both."""
    value = get(entry, key, what)
    number = _integer(value)
    if number is not None and (not isinstance(value, str) or str(number) == value):
        return number
    if not isinstance(value, str):
        raise DataError(
            f"`{key}` of {what} must be a number or a string, found {reprlib.repr(value)}"
        )
    return value


def text(entry: Any, key: str, what: str) -> str:
    """`entry[key]`, a string that can be shown."""
    value = get(entry, key, what)
    if not isinstance(value, str) or has_controls(value):
        raise DataError(
            f"`{key}` of {what} must be a string without control characters, found "
            f"{reprlib.repr(value)}"
        )
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


def categories(entries: Sequence[Any]) -> tuple[Category, ...]:
    """The categories, whose ids and names must differ: scores and settings go by name."""
    found = tuple(map(_category, entries))
    check_categories(found)
    return found


def check_categories(found: Sequence[Category]) -> None:
    """Raise `DataError` for an id or a name that comes a second time."""
    ids: dict[int, str] = {}
    names: dict[str, int] = {}
    for each in found:
        if each.id in ids:
            raise DataError(f"category {each.id} is listed twice")
        if each.name in names:
            raise DataError(
                f"categories {names[each.name]} and {each.id} are both called {each.name!r}: "
                "give each a name of its own"
            )
        ids[each.id], names[each.name] = each.name, each.id


def _category(entry: Any) -> Category:
    """A category; one without `color` gets a colour that its id determines."""
    number = whole(entry, "id", "a category", 0)
    what = f"category {number}"
    if entry.get("isthing") is None:
        raise DataError(
            f"{what} needs `isthing`, 1 for things and 0 for stuff: these may be the categories of "
            "boxes, not of panoptic segments"
        )
    isthing = bool(flag(entry, "isthing", what))
    color = entry.get("color")
    if color is None:
        # Steps of the golden ratio keep the hues of neighbours apart.
        hue = number * 0.618033988749895 % 1
        color = [round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.65, 0.9)]
    rgb = [_integer(c) for c in color] if isinstance(color, list) else []
    if len(rgb) != 3 or not all(c is not None and 0 <= c <= 255 for c in rgb):
        raise DataError(
            f"`color` of {what} must be RGB from 0 to 255, found {reprlib.repr(color)}"
        )
    red, green, blue = (c or 0 for c in rgb)
    return Category(number, text(entry, "name", what), isthing, (red, green, blue))


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
        raise DataError(
            f"`segments_info` of {what} must be a list, found {reprlib.repr(entries)}"
        )
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


def _integer(value: Any) -> int | None:
    """The whole number that a value of a JSON is, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None
