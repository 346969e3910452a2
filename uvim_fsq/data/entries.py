"""Entries of a JSON in COCO's format, checked one by one; problems are sentences that name the entry."""

import json
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.files import has_controls

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
        raise wrong(what, "an object", entry)
    if key not in entry:
        raise DataError(f"{what} lacks `{key}`: it has {', '.join(entry) or 'nothing'}")
    return entry[key]


def whole(entry: Any, key: str, what: str, least: int, largest: int | None = None):
    """`entry[key]` as an integer in a range; 640.0 and "640" are 640."""
    value = get(entry, key, what)
    number = integer(value)
    if number is None or number < least or (largest is not None and number > largest):
        fitting = f"at least {least}" if largest is None else f"{least} to {largest}"
        raise wrong(f"`{key}` of {what}", f"a whole number, {fitting}", value)
    return number


def flag(entry: Any, key: str, what: str) -> int:
    """`entry[key]` as 0 or 1, which false and true are too."""
    value = get(entry, key, what)
    number = int(value) if isinstance(value, bool) else integer(value)
    if number not in (0, 1):
        raise wrong(f"`{key}` of {what}", "0 or 1", value)
    return number


def text(entry: Any, key: str, what: str) -> str:
    """`entry[key]`, a string that can be shown."""
    value = get(entry, key, what)
    if not isinstance(value, str) or has_controls(value):
        expected = "a string without control characters"
        raise wrong(f"`{key}` of {what}", expected, value)
    return value


def wrong(what: str, expected: str, found: Any) -> DataError:
    """The error of a value that is not as it must be."""
    return DataError(f"{what} must be {expected}, found {reprlib.repr(found)}")


def integer(value: Any) -> int | None:
    """The whole number that a value of a JSON is, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None
