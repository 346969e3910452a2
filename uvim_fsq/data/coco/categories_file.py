"""Reads the categories of a panoptic dataset from a file of their own or from a whole COCO JSON."""

import json
from pathlib import Path

from uvim_fsq.data.coco.annotations import categories, read_json
from uvim_fsq.errors import BrokenFileError
from uvim_fsq.types import Category


def read_categories(path: str | Path) -> tuple[Category, ...]:
    """The categories of a JSON: a list of them, or an object with the list `categories`.

    Raises:
      DataError: if there are none, or one is not as in COCO's panoptic format.
    """
    path = Path(path)
    with_list = path.is_file() and path.read_bytes().lstrip()[:1] == b"["
    if with_list:
        try:
            entries = json.loads(path.read_bytes())
        except ValueError as error:
            raise BrokenFileError(
                path, f"expected a JSON of categories, found no JSON: {error}"
            ) from error
    else:
        entries = read_json(path, ("categories",))["categories"]
    if not entries:
        raise BrokenFileError(path, "expected categories, found an empty list")
    return categories(entries)
