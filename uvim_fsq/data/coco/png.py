"""COCO's PNGs of segment ids: 8-bit RGB with id = R + 256 G + 65536 B, 0 for void."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.coco.annotations import LARGEST_ID, Segment
from uvim_fsq.data.images import decode, read_whole_file
from uvim_fsq.errors import BrokenFileError
from uvim_fsq.files import write_whole
from uvim_fsq.types import Int

_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGBA"}


def read_ids(path: str | Path) -> Int[np.ndarray, "h w"]:
    """Read the segment id of each pixel from a PNG; alpha, where there is any, means nothing.

    Raises `BrokenFileError` for a PNG that is damaged or is anything but 8-bit RGB or RGBA.
    """
    data = read_whole_file(path)
    if not data.startswith(b"\x89PNG"):
        raise BrokenFileError(path, "expected an 8-bit RGB PNG, found another format")
    bits, kind = data[24], data[25]
    if bits != 8 or kind not in (2, 6):
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


def write_ids(path: str | Path, ids: Int[np.ndarray, "h w"]) -> None:
    """Write segment ids, 0 to 2^24 - 1, as an RGB PNG; replaces the file at once."""
    if ids.size == 0 or ids.min() < 0 or ids.max() > LARGEST_ID:
        raise ValueError(
            f"expected segment ids from 0 to {LARGEST_ID}, found shape {ids.shape}"
            + (f" and values from {ids.min()} to {ids.max()}" if ids.size else "")
        )
    rgba = np.ascontiguousarray(ids, "<u4").view(np.uint8).reshape(*ids.shape, 4)
    _, png = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGR))
    write_whole(path, png.tobytes())


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
