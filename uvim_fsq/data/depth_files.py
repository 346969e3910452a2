"""Reading depth maps: 16-bit images, and floats in NumPy's files, TIFF or PFM.

Whole numbers are units, 1,000 of which make a metre where nothing else is said; floats are metres
where nothing else is said. A unit that is given holds for both.
"""

import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.file_kinds import file_kind
from uvim_fsq.data.images import (
    JPEG_START,
    PNG_START,
    decode,
    one_line,
    read_whole_file,
)
from uvim_fsq.errors import BrokenFileError
from uvim_fsq.types import Float, Shaped

MILLIMETRES = 1000.0
"""Units of a metre in whole numbers, where nothing is said."""

DEPTH_SUFFIXES = (".png", ".npy", ".npz", ".tif", ".tiff", ".pfm", ".exr")
"""Endings, in lower case, of files that `read_stored_depth` reads, or refuses by name."""

ONLY_DEPTH_SUFFIXES = (".npy", ".npz", ".pfm", ".exr")
"""Those of files that cannot be the image."""

_EXPECTED = "expected one channel of 16-bit units or floats"


def to_metres(
    values: Shaped[np.ndarray, "h w"], units_per_metre: float | None = None
) -> Float[np.ndarray, "h w"]:
    """Stored depth as float32 metres; 0, NaN, infinite and negative become 0, missing.

    >>> to_metres(np.array([[2000, 0]], np.uint16)).tolist()
    [[2.0, 0.0]]
    >>> to_metres(np.array([[2.0, np.nan]])).tolist()
    [[2.0, 0.0]]
    """
    units = unit_of(values.dtype, units_per_metre)
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite: missing
        metres = values.astype(np.float32)
        if units != 1:
            metres /= np.float32(units)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0))


def depth_limit(dtype: np.dtype, units_per_metre: float | None = None) -> float | None:
    """The depth that the largest 16-bit number stands for; None for other kinds of number.

    Sensors write 65535 where they saw nothing, and files where depth is beyond what they can hold.

    >>> round(depth_limit(np.dtype(np.uint16)), 3)
    65.535
    """
    if dtype != np.uint16:
        return None
    largest = np.array([[np.iinfo(np.uint16).max]], np.uint16)
    return float(to_metres(largest, units_per_metre)[0, 0])


def depth_of(
    values: Shaped[np.ndarray, "h w"], units_per_metre: float | None = None
) -> dict[str, Any]:
    """Of an example, `depth` in metres, and its `depth_limit` where it is stored in 16 bits."""
    limit = depth_limit(values.dtype, units_per_metre)
    depth = {"depth": to_metres(values, units_per_metre)}
    return depth if limit is None else {**depth, "depth_limit": limit}


def unit_of(dtype: np.dtype, units_per_metre: float | None) -> float:
    """Units per metre of stored numbers of a type."""
    if units_per_metre is not None:
        return units_per_metre
    return MILLIMETRES if np.issubdtype(dtype, np.integer) else 1.0


def read_stored_depth(path: str | Path) -> Shaped[np.ndarray, "h w"]:
    """The numbers of a depth file: whole, 16 bits or more, or floats.

    Raises `BrokenFileError` for a file that is not whole, and for any that cannot be depth: 8 bits are
    nearly always an image made for the eye.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".npy", ".npz"):
        values = _read_numpy(path)
    else:
        values = _read_image(path, suffix)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values.squeeze(2 if values.shape[2] == 1 else 0)
    kind = values.dtype
    fits = np.issubdtype(kind, np.floating) or (
        np.issubdtype(kind, np.integer) and kind.itemsize > 1
    )
    if values.ndim != 2 or not fits or not values.size:
        raise BrokenFileError(
            path,
            f"{_EXPECTED}, found {kind} of shape {values.shape}; store depth of shape (h, w) as "
            "16-bit units, for example millimetres, or as floats in metres",
        )
    return values


def _read_image(path: str | Path, suffix: str) -> np.ndarray:
    data = read_whole_file(path)
    if suffix == ".png" and not data.startswith(PNG_START):
        kind = "a JPEG" if data.startswith(JPEG_START) else file_kind(data)
        kind = kind or "another format"
        raise BrokenFileError(path, f"expected a 16-bit grey PNG, found {kind}")
    if suffix == ".exr":
        raise BrokenFileError(
            path,
            "OpenEXR is not read here: convert it to floats in a .tif or .npy",
        )
    values = decode(path, data, cv2.IMREAD_UNCHANGED)
    if values.dtype == np.uint8 or values.ndim != 2:
        channels = 1 if values.ndim == 2 else values.shape[2]
        raise BrokenFileError(
            path,
            f"{_EXPECTED}, found {8 * values.itemsize} bits with {channels}; store depth as "
            "16-bit units, for example millimetres",
        )
    return values


def _read_numpy(path: str | Path) -> np.ndarray:
    try:
        # NumPy leaves a file open that it opened itself and cannot read.
        with open(path, "rb") as stream:
            values = np.load(stream, allow_pickle=False)
            if isinstance(values, np.ndarray):
                return values
            with values:
                return values[_only_depth(path, values.files)]
    except BrokenFileError:
        raise
    except FileNotFoundError as error:
        raise BrokenFileError(path, "there is no such file") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BrokenFileError(path, one_line(f"cannot be read: {error}")) from error


def _only_depth(path: str | Path, names: list[str]) -> str:
    """The array of an archive that is the depth: the only one, or the only one named so."""
    named = [name for name in names if name.lower() == "depth"]
    named = named or [name for name in names if "depth" in name.lower()]
    chosen = names if len(names) == 1 else named
    if len(chosen) != 1:
        raise BrokenFileError(
            path,
            f"expected one array, or one named depth, found {', '.join(names) or 'none'}",
        )
    return chosen[0]
