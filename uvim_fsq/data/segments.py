"""Segments of a panoptic map: their pixels, and whether what is said of them is true."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.listing import first_names
from uvim_fsq.errors import BrokenFileError
from uvim_fsq.types import Int, UInt8

Segment = dict[str, int]
"""`id`, `category_id`, `iscrowd` (0 or 1) and, in a ground truth, `area` in pixels."""

LARGEST_ID = 2**24 - 1
"""Three bytes; 0 is void."""


def ids_of_colours(
    picture: UInt8[np.ndarray, "h w 3"], to_rgba: int = cv2.COLOR_RGB2RGBA
) -> Int[np.ndarray, "h w"]:
    """Segment ids that are coded as colours, R + 256 G + 65536 B."""
    # Four bytes R, G, B, 255 are one little-endian integer.
    ids = cv2.cvtColor(np.ascontiguousarray(picture), to_rgba).view("<i4")[..., 0]
    return np.bitwise_and(ids, LARGEST_ID, out=ids)


def count_pixels(ids: Int[np.ndarray, "h w"]) -> dict[int, int]:
    """How many pixels each id has, void included.

    Maps consist of long runs, so that only where one begins is sorted: no sort of all pixels.
    """
    flat = np.ravel(ids)
    begins = np.ones(flat.size, bool)
    begins[1:] = flat[1:] != flat[:-1]
    starts = np.flatnonzero(begins)
    found, which = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(which, np.diff(starts, append=flat.size), len(found))
    return dict(zip(found.tolist(), counts.astype(int).tolist(), strict=True))


def check_ids(
    ids: Int[np.ndarray, "h w"],
    segments: Sequence[Mapping[str, Any]],
    path: str | Path,
    size: tuple[int, int] | None = None,
) -> None:
    """Raise `BrokenFileError` about the PNG at `path` unless it and the JSON tell of the same.

    `ids` must be of `size` (height, width), if that is given, and hold the ids of all `segments`,
    and no others but void; areas must be as `with_areas` has them.
    """
    if size is not None and ids.shape != tuple(size):
        raise BrokenFileError(
            path,
            f"its size, {ids.shape[0]} x {ids.shape[1]}, is not that of its picture, "
            f"{size[0]} x {size[1]} (height x width)",
        )
    counts = count_pixels(ids)
    painted = counts.keys() - {0}
    listed = {segment["id"] for segment in segments}
    if painted != listed:
        raise BrokenFileError(path, _difference(painted - listed, listed - painted))
    with_areas(segments, counts, path)


def with_areas(
    segments: Sequence[Mapping[str, Any]], counts: Mapping[int, int], path: str | Path
) -> list[Segment]:
    """The segments, with the `area` that is painted where the JSON states none.

    Panoptic quality takes areas from the JSON, so that one of another image or size would let a
    perfect prediction miss: raises `BrokenFileError` about the PNG at `path` where they differ.
    """
    complete = []
    for segment in segments:
        area = counts.get(segment["id"], 0)
        if segment.get("area", area) != area:
            raise BrokenFileError(
                path,
                f"its segment {segment['id']} has {area} pixels, and the JSON says `area` "
                f"{segment['area']}: write the PNG's areas into the JSON, or remove `area` from "
                "its segments, and they are counted",
            )
        complete.append({**segment, "area": area})
    return complete


def _difference(painted: set[int], listed: set[int]) -> str:
    """What only the PNG, or only the JSON, has."""
    found = []
    for ids, here, there in ((painted, "PNG", "JSON"), (listed, "JSON", "PNG")):
        if ids:
            shown = first_names(sorted(ids), 5)
            found.append(f"{len(ids)} in the {here} that the {there} lacks ({shown})")
    return (
        "its segment ids are not those of the JSON: "
        f"{' and '.join(found)}; write both from the same segments"
    )
