"""COCO's PNGs of segment ids: 8-bit RGB with id = R + 256 G + 65536 B, 0 for void."""

from pathlib import Path

import cv2
import numpy as np

from uvim_fsq.data.images import decode, read_whole_file
from uvim_fsq.data.segments import LARGEST_ID, ids_of_colours
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
    return ids_of_colours(picture, cv2.COLOR_BGR2RGBA)


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
