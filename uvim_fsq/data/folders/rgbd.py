"""Folders of pictures with depth maps."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.data.fingerprint import file_sizes
from uvim_fsq.data.folders.depth_files import (
    depth_limit,
    read_stored_depth,
    to_metres,
)
from uvim_fsq.data.folders.depth_units import find_index, read_units, says_units
from uvim_fsq.data.folders.pairs import Pairs, find_pairs, role_folders
from uvim_fsq.data.folders.parts import (
    Split,
    SplitBy,
    check_folder,
    check_split,
    choose_ids,
    contents,
    find_parts,
    folder_of,
    part_of,
    report,
    say_beside,
    say_deeper_parts,
)
from uvim_fsq.data.folders.scan import (
    Files,
    cache_directory,
    cache_name,
    files_fingerprint,
    scan,
)
from uvim_fsq.data.images import read_oriented
from uvim_fsq.data.listing import say_once
from uvim_fsq.data.orientation import turn_along
from uvim_fsq.errors import DataError
from uvim_fsq.types import Category, UInt8

_LAYOUT = "rgb/ and depth/, or train/ and validation/ with rgb/ and depth/ in each"


class RgbdFolder:
    """Pictures in `rgb/` and depth maps in `depth/`, matched by name without its ending.

    Other layouts are found too, as `SCENE/rgb/` with `SCENE/depth/` or `a_rgb.png` with `a_depth.png`: see
    `uvim_fsq.data.folders.pairs`.

    Depth is whole numbers (a 16-bit PNG or TIFF, a `.npy`; 0 is missing), 1,000 of which are a metre, or
    floats in metres (`.npy`, `.npz`, TIFF, PFM; 0, NaN and infinite are missing), of the same size as its
    picture; `units_per_metre`, where it is given, holds for both. An `index.csv` with the columns
    `name` and `units_per_metre` gives the unit of single files. Where the picture's file says that it is
    to be turned (EXIF), depth is taken as it is stored and turned along, unless its size is that
    of the turned picture alone.

    The folder may have the parts `train/` and `validation/` (or another name of `PART_NAMES`). Without a
    validation part, a folder of frames goes to validation if a hash of its name falls below
    `validation_fraction`: the same on every machine, and none changes sides when others are added. With
    `split_by="file"`, and for frames that lie in no folder, each goes by itself. `split="all"` takes
    every example of every part.

    At construction every file is decoded once; the result is kept below `cache_dir` (default:
    the environment variable UVIM_FSQ_CACHE, or `~/.cache/uvim_fsq`) until a file changes. All that
    is wrong is named in one `DataError`; with `skip_broken` those examples are left out instead
    and named in `skipped`.

    Example: `RgbdFolder("my_frames", units_per_metre=5000)[0]["depth"].max()` is the largest
    depth of the first training frame, in metres.
    """

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
        self.path = Path(path).expanduser()
        check_split(split)
        check_folder(self.path, _LAYOUT)
        parts, hashed = find_parts(self.path, split)
        say_beside(self.path)
        files: dict[str, Files] = {}
        problems: list[str] = []
        self._units: dict[str, float | None] = {}
        for part in parts:
            pairs = find_pairs(part)
            _check_found(part, pairs)
            problems += pairs.problems
            prefix = "" if part == self.path else f"{part.name}/"
            files |= {prefix + name: pair for name, pair in pairs.files.items()}
            self._take_units(part, pairs.files, prefix)
        _say_other_table(self.path, parts)
        if hashed and (inner := _parts_of_ids(files, split)) is not None:
            files, hashed = inner, False
        cache_file = cache_directory(cache_dir) / cache_name("rgbd", self.path)
        self._sizes, broken = scan(files, _check_pair, cache_file)
        self.skipped: list[str] = [*problems, *broken.values()]
        """One sentence for each example that was left out."""
        report(self.path, self.skipped, len(files) + len(problems), skip_broken)
        fraction = validation_fraction if hashed else None
        if hashed:
            say_deeper_parts(self.path, files)
        alone = "" if parts == [self.path] else parts[0].name
        self._ids = choose_ids(
            self.path,
            list(self._sizes),
            split,
            fraction,
            (lambda name: folder_of(name, alone)) if split_by == "folder" else str,
        )
        self._files = files
        self._unit = units_per_metre

    @property
    def categories(self) -> tuple[Category, ...]:
        """None: depth has no classes."""
        return ()

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image` uint8 (h w 3), `depth` float32 (h w) in metres with 0 missing, and `id`.

        Where depth is stored in 16 bits, `depth_limit` says how many metres its largest number is.
        """
        name = self._ids[index]
        image, values = _read_pair(self._files[name])
        unit = self._units.get(name)
        unit = self._unit if unit is None else unit
        example = {"image": image, "depth": to_metres(values, unit), "id": name}
        limit = depth_limit(values.dtype, unit)
        return example if limit is None else {**example, "depth_limit": limit}

    def reference(self, index: int) -> dict[str, Any]:
        """The example, which has its original size, and its `size` (height, width)."""
        return {**self[index], "size": self._sizes[self._ids[index]]}

    def image_file(self, index: int) -> Path:
        """The file of the picture, so that packing can copy it as it is."""
        return self._files[self._ids[index]][0]

    def example_id(self, index: int) -> str:
        """The picture's path without `rgb/` and its ending, as `0002` or `train/0002`."""
        return self._ids[index]

    def stamp(self, index: int) -> tuple[str, str]:
        """Its id; the sizes of its files, and the unit of its depth if that is its own."""
        name = self._ids[index]
        return name, f"{file_sizes(self._files[name])} {self._units.get(name) or ''}"

    def fingerprint(self) -> str:
        """Differs where the files or their units do."""
        units = {name: self._units.get(name) or self._unit for name in self._ids}
        return files_fingerprint({n: self._files[n] for n in self._ids}, units)

    def _take_units(self, part: Path, files: Mapping[str, Files], prefix: str) -> None:
        """Units of single frames from a part's `index.csv`, if it has one."""
        index = find_index(part)
        if index is not None:
            units = read_units(index, files)
            self._units |= {prefix + name: unit for name, unit in units.items()}


def _check_found(part: Path, pairs: Pairs) -> None:
    """Refuse a folder that has no pairs at all, saying what lies there."""
    if pairs.files:
        return
    if pairs.images.startswith("0") and pairs.depths.startswith("0"):
        both = role_folders(part)
        what = f"{both[0]} and {both[1]} hold" if both else f"{part} holds"
        raise DataError(
            f"{what} no images and no depth maps: expected {_LAYOUT}, found {contents(part)}"
        )
    raise DataError(
        f"{part}: found {pairs.images} and {pairs.depths}, none of which belong together: expected "
        f"{_LAYOUT}, and one name for both files of a frame"
    )


def _say_other_table(path: Path, parts: list[Path]) -> None:
    """Beside parts an `index.csv` has no place: one with units is refused, others are passed by."""
    index = None if parts == [path] else find_index(path)
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


def _read_pair(files: Iterable[Path]) -> tuple[UInt8[np.ndarray, "h w 3"], np.ndarray]:
    """A picture as it is looked at, and the numbers of its depth map, turned along if need be."""
    picture, depth = files
    image, number = read_oriented(picture)
    return image, turn_along(read_stored_depth(depth), number, image.shape[:2])


def _check_pair(files: Files) -> tuple[int, int]:
    image, depth = _read_pair(files)
    height, width = image.shape[:2]
    if depth.shape != (height, width):
        raise DataError(
            f"{files[1]}: its size, {depth.shape[0]} x {depth.shape[1]}, is not that of its picture "
            f"{files[0].name}, {height} x {width}"
        )
    return height, width
