"""Folders of pictures with depth maps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.data.depth_files import depth_of, read_stored_depth
from uvim_fsq.data.folder_source import ImageFileSource
from uvim_fsq.data.folders.depth_units import find_index, read_units, says_units
from uvim_fsq.data.folders.pairs import Pairs, find_pairs, role_folders
from uvim_fsq.data.images import read_oriented
from uvim_fsq.data.listing import say_once
from uvim_fsq.data.orientation import turn_along
from uvim_fsq.data.parts import (
    Split,
    SplitBy,
    contents,
    folder_of,
    part_of,
    say_deeper_parts,
)
from uvim_fsq.data.scan import Files
from uvim_fsq.errors import DataError
from uvim_fsq.types import UInt8

_LAYOUT = "rgb/ and depth/, or train/ and validation/ with rgb/ and depth/ in each"


class RgbdFolder(ImageFileSource):
    """Pictures in `rgb/` and depth maps in `depth/`, matched by name without its ending.

    Other layouts are found too, as `SCENE/rgb/` with `SCENE/depth/` or `a_rgb.png` with `a_depth.png`: see
    `uvim_fsq.data.folders.pairs`. Parts, splits and broken files are as of `FolderSource`; frames of one
    folder stay together, unless `split_by` is "file".

    Depth is whole numbers (a 16-bit PNG or TIFF, a `.npy`; 0 is missing), 1,000 of which are a metre, or
    floats in metres (`.npy`, `.npz`, TIFF, PFM; 0, NaN and infinite are missing), of the same size as its
    picture; `units_per_metre`, where it is given, holds for both. An `index.csv` with the columns
    `name` and `units_per_metre` gives the unit of single files. Where the picture's file says that it is
    to be turned (EXIF), depth is taken as it is stored and turned along, unless its size is that
    of the turned picture alone.

    Example: `RgbdFolder("my_frames", units_per_metre=5000)[0]["depth"].max()` is the largest
    depth of the first training frame, in metres.
    """

    kind = "rgbd"
    layout = _LAYOUT

    def __init__(
        self,
        path: str | Path,
        split: Split = "train",
        units_per_metre: float | None = None,
        validation_fraction: float = 0.1,
        skip_broken: bool = False,
        cache_dir: str | Path | None = None,
        split_by: SplitBy = "folder",
    ):
        if units_per_metre is not None and not units_per_metre > 0:
            raise ValueError(f"units_per_metre must be positive, got {units_per_metre}")
        self._unit = units_per_metre
        self._units: dict[str, float | None] = {}
        self._split_by = split_by
        self._part = ""
        super().__init__(path, split, validation_fraction, skip_broken, cache_dir)

    def stamp(self, index: int) -> tuple[str, str]:
        """Its id; the sizes of its files, and the unit of its depth if that is its own."""
        name, sizes = super().stamp(index)
        return name, f"{sizes} {self._units.get(name) or ''}"

    def _find(self, split: Split) -> bool:
        parts, hashed = self._parts(split)
        for prefix, part in parts:
            pairs = find_pairs(part)
            _check_found(part, pairs)
            self.skipped += pairs.problems
            self._files |= {prefix + name: pair for name, pair in pairs.files.items()}
            self._take_units(part, pairs.files, prefix)
        in_parts = parts[0][1] != self.path
        if in_parts:
            self._part = parts[0][1].name
            _say_other_table(self.path)
        if hashed and (inner := _parts_of_ids(self._files, split)) is not None:
            self._files, hashed = inner, False
        if hashed:
            say_deeper_parts(self.path, self._files)
        return hashed

    def _take_units(self, part: Path, files: Mapping[str, Files], prefix: str) -> None:
        """Units of single frames from a part's `index.csv`, if it has one."""
        index = find_index(part)
        if index is not None:
            units = read_units(index, files)
            self._units |= {prefix + name: unit for name, unit in units.items()}

    def _read(self, name: str) -> dict[str, Any]:
        """`depth` is float32 (h w) in metres with 0 missing.

        Where it is stored in 16 bits, `depth_limit` says how many metres its largest number is.
        """
        image, values = _read_pair(self._files[name])
        return {"image": image, **depth_of(values, self._unit_of(name))}

    def _check(self, name: str) -> tuple[int, int]:
        picture, file = self._files[name]
        image, depth = _read_pair((picture, file))
        height, width = image.shape[:2]
        if depth.shape != (height, width):
            raise DataError(
                f"{file}: its size, {depth.shape[0]} x {depth.shape[1]}, is not that of its picture "
                f"{picture.name}, {height} x {width}"
            )
        return height, width

    def _group(self, name: str) -> str:
        return folder_of(name, self._part) if self._split_by == "folder" else name

    def _read_with(self) -> tuple[Any, ...]:
        return ({name: self._unit_of(name) for name in self._ids},)

    def _unit_of(self, name: str) -> float | None:
        return self._units.get(name) or self._unit


def _check_found(part: Path, pairs: Pairs) -> None:
    """Refuse a folder that has no pairs at all, saying what lies there."""
    if pairs.files:
        return
    if not pairs.found:
        both = role_folders(part)
        what = f"{both[0]} and {both[1]} hold" if both else f"{part} holds"
        raise DataError(
            f"{what} no images and no depth maps: expected {_LAYOUT}, found {contents(part)}"
        )
    raise DataError(
        f"{part}: found {pairs.found}, none of which belong together: expected "
        f"{_LAYOUT}, and one name for both files of a frame"
    )


def _say_other_table(path: Path) -> None:
    """Beside parts an `index.csv` has no place: one with units is refused, others are passed by."""
    index = find_index(path)
    if index is None:
        return
    if says_units(index):
        raise DataError(
            f"{index}: units are read from an index.csv in each part, beside its rgb/: move it there"
        )
    say_once(f"{path}: passed by {index.name}, which has no column units_per_metre")


def _parts_of_ids(files: dict[str, Files], split: Split) -> dict[str, Files] | None:
    """The files of a split where `rgb/` and `depth/` have the parts in them; None for others."""
    sides = {name: part_of(name.split("/")[0]) for name in files if "/" in name}
    if len(sides) < len(files) or set(sides.values()) != {"train", "validation"}:
        return None
    return {name: pair for name, pair in files.items() if sides[name] == split}


def _read_pair(files: Files) -> tuple[UInt8[np.ndarray, "h w 3"], np.ndarray]:
    """A picture as it is looked at, and the numbers of its depth map, turned along if need be."""
    picture, depth = files
    image, number = read_oriented(picture)
    return image, turn_along(read_stored_depth(depth), number, image.shape[:2])
