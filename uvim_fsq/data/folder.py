"""Folders of pictures with depth maps."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.data.errors import DataError
from uvim_fsq.data.images import (
    DEPTH_SUFFIXES,
    PICTURE_SUFFIXES,
    read_depth,
    read_image,
)
from uvim_fsq.data.scan import Files, cache_directory, cache_name, scan
from uvim_fsq.data.splits import (
    Split,
    check_folder,
    check_split,
    choose_ids,
    contents,
    find_parts,
    list_files,
    report,
)
from uvim_fsq.types import Category

_LAYOUT = "rgb/ and depth/, or train/ and validation/ with rgb/ and depth/ in each"


class RgbdFolder:
    """Pictures in `rgb/` and depth maps in `depth/`, matched by name without its ending.

    Depth is a 16-bit PNG (`units_per_metre`, 1000 for millimetres; 0 is missing) or a `.npy` of
    metres (0, NaN and infinite are missing), of the same size as its picture. An `index.csv`
    beside `rgb/` with the columns `name` and `units_per_metre` gives the unit of single files.

    The folder may have the parts `train/` and `validation/` (or `val/`, `test/`). Without a
    validation part, an example goes to validation if a hash of its id falls below
    `validation_fraction`: the same on every machine, and no example changes sides when others
    are added. `split="all"` takes every example of every part.

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
        units_per_metre: float = 1000.0,
        validation_fraction: float = 0.1,
        skip_broken: bool = False,
        cache_dir: str | Path | None = None,
    ):
        if not units_per_metre > 0:
            raise ValueError(f"units_per_metre must be positive, got {units_per_metre}")
        self.path = Path(path).expanduser()
        parts, hashed = _find_parts(self.path, split)
        files: dict[str, Files] = {}
        problems: dict[str, str] = {}
        self._units: dict[str, float] = {}
        for part in parts:
            units = _read_units(part / "index.csv")
            for name, pair in _pair_files(part, problems).items():
                example_id = (part / name).relative_to(self.path).as_posix()
                files[example_id] = pair
                self._units[example_id] = units.get(name, units_per_metre)
        cache_file = cache_directory(cache_dir) / cache_name("rgbd", self.path)
        self._sizes, broken = scan(files, _check_pair, cache_file)
        self.skipped: list[str] = [*problems.values(), *broken.values()]
        """One sentence for each example that was left out."""
        report(self.path, self.skipped, len(files) + len(problems), skip_broken)
        fraction = validation_fraction if hashed else None
        self._ids = choose_ids(self.path, list(self._sizes), split, fraction)
        self._files = files

    @property
    def categories(self) -> tuple[Category, ...]:
        """None: depth has no classes."""
        return ()

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image` uint8 (h w 3), `depth` float32 (h w) in metres with 0 missing, and `id`."""
        image = read_image(self._files[self._ids[index]][0])
        return {"image": image, "depth": self._depth(index), "id": self._ids[index]}

    def reference(self, index: int) -> dict[str, Any]:
        """The example, which has its original size, and its `size` (height, width)."""
        return {**self[index], "size": self._sizes[self._ids[index]]}

    def image_file(self, index: int) -> Path:
        """The file of the picture, so that packing can copy it as it is."""
        return self._files[self._ids[index]][0]

    def example_id(self, index: int) -> str:
        """The picture's path without `rgb/` and its ending, as `0002` or `train/0002`."""
        return self._ids[index]

    def _depth(self, index: int) -> np.ndarray:
        name = self._ids[index]
        return read_depth(self._files[name][1], self._units[name])


def _find_parts(path: Path, split: Split) -> tuple[list[Path], bool]:
    """The folders that hold the split, and whether it must be made by hashing."""
    check_split(split)
    check_folder(path, _LAYOUT)
    if (path / "rgb").is_dir() and (path / "depth").is_dir():
        return [path], split != "all"
    parts, hashed = find_parts(path, split, _is_part)
    if parts == [path]:
        raise DataError(f"{path}: expected {_LAYOUT}, found {contents(path)}")
    return parts, hashed


def _is_part(folder: Path) -> bool:
    if not (folder / "rgb").is_dir():
        return False
    if not (folder / "depth").is_dir():
        raise DataError(f"{folder} has rgb/ but no depth/ beside it")
    return True


def _pair_files(part: Path, problems: dict[str, str]) -> dict[str, Files]:
    """Match pictures and depth maps by name; what has no partner goes to `problems`."""
    pictures = list_files(part / "rgb", PICTURE_SUFFIXES, problems)
    depths = list_files(part / "depth", DEPTH_SUFFIXES, problems)
    if not pictures:
        raise DataError(
            f"{part / 'rgb'} holds no pictures ({', '.join(PICTURE_SUFFIXES)})"
        )
    for name, picture in pictures.items():
        if name not in depths:
            kinds = " or ".join(DEPTH_SUFFIXES)
            problems[f"{part}:{name}"] = (
                f"{picture}: no depth map depth/{name}({kinds})"
            )
    for name, depth in depths.items():
        if name not in pictures:
            problems[f"{part}:{name}"] = f"{depth}: no picture rgb/{name}.*"
    return {n: (pictures[n], depths[n]) for n in sorted(pictures) if n in depths}


def _check_pair(files: Files) -> tuple[int, int]:
    picture, depth = files
    height, width = read_image(picture).shape[:2]
    # The unit does not matter for whether the file is good.
    rows, columns = read_depth(depth).shape
    if (rows, columns) != (height, width):
        raise DataError(
            f"{depth}: its size, {rows} x {columns}, is not that of its picture "
            f"{picture.name}, {height} x {width}"
        )
    return height, width


def _read_units(index_file: Path) -> dict[str, float]:
    """Units per metre by name, from an `index.csv` that has such a column."""
    if not index_file.is_file():
        return {}
    units = {}
    with index_file.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            name, value = row.get("name"), row.get("units_per_metre")
            if not name or not value:
                continue
            try:
                units[name] = float(value)
            except ValueError:
                units[name] = 0.0
            if not 0 < units[name] < float("inf"):
                raise DataError(
                    f"{index_file}: units_per_metre of {name} is {value!r}, expected a "
                    "positive number"
                )
    return units
