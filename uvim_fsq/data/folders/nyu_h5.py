"""NYU Depth v2 as it is handed out for training: one HDF5 file for each frame, by scene."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.depth_files import to_metres
from uvim_fsq.data.folder_source import FolderSource
from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.data.images import one_line
from uvim_fsq.data.listing import say_once
from uvim_fsq.data.parts import (
    Split,
    SplitBy,
    check_folder,
    contents,
    folder_of,
    part_of,
)
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.types import Float, UInt8

_ARCHIVE = "nyudepthv2"
_SUFFIXES = (".h5", ".hdf5")
_LAYOUT = f"{_ARCHIVE}/{{train,val}}/<scene>/<frame>.h5"
_EITHER_LAYOUT = f"rgb/ and depth/, here or in train/ and validation/, or {_LAYOUT}"


class NyuH5Folder(FolderSource):
    """Frames in HDF5 files, `nyudepthv2/{train,val}/<scene>/<frame>.h5`.

    A file holds the datasets `rgb`, uint8 of shape (3, h, w), and `depth`, floats of shape (h, w)
    in metres, where 0, negative, NaN and infinite are missing. `path` is the folder
    `nyudepthv2`, the one that holds it, or one of its parts.

    Parts, splits and broken files are as of `FolderSource`; frames of one scene are much alike, so they
    stay together. Where there is one scene alone, its frames are divided. Needs h5py, which reads one
    file at a time: some 80 compressed frames a second, however many cores.

    Example: `NyuH5Folder("data/nyudepthv2", "validation")[0]["depth"].max()` is the largest depth
    of the first validation frame, in metres.
    """

    kind = "h5"
    layout = _LAYOUT

    def _find(self, split: Split) -> bool:
        _import_h5py()
        if (self.path / _ARCHIVE).is_dir():
            self.path = self.path / _ARCHIVE
        parts, hashed = self._parts(split)
        for prefix, part in parts:
            for below, file in self._list(part, _SUFFIXES):
                name = prefix + below.with_suffix("").as_posix()
                if name in self._files:
                    other = self._files[name][0].name
                    self.skipped.append(f"{file}: another file, {other}, has its name")
                else:
                    self._files[name] = (file,)
        if not self._files:
            raise DataError(
                f"{self.path}: expected {_LAYOUT}, found no .h5 file among "
                f"{contents(self.path)}"
            )
        return hashed

    def _read(self, name: str) -> dict[str, Any]:
        image, depth = read_frame(self._files[name][0])
        return {"image": image, "depth": depth}

    def _group(self, name: str) -> str:
        return folder_of(name)


def open_depth_folder(
    path: str | Path,
    split: Split = "train",
    units_per_metre: float | None = None,
    split_by: SplitBy = "folder",
    **options: Any,
) -> Source:
    """A folder with depth, of whichever layout it is: `NyuH5Folder` or `RgbdFolder`.

    `rgb/` makes it the second, else files .h5 make it the first, which hold metres, and whose scenes
    always stay together. `options` are those of `FolderSource`. Raises `DataError` for a folder of
    neither layout.
    """
    folder = Path(path).expanduser()
    check_folder(folder, _EITHER_LAYOUT)
    places = [folder, *(part for part in folder.iterdir() if part_of(part.name))]
    if any((place / "rgb").is_dir() for place in places) or not _holds_h5(folder):
        return RgbdFolder(folder, split, units_per_metre, split_by=split_by, **options)
    if units_per_metre is not None:
        raise DataError(
            f"{folder}: its .h5 files hold metres, so leave --data.units-per-metre out"
        )
    if split_by == "file":
        say_once(
            f"{folder}: frames of one scene in .h5 files stay together all the same"
        )
    return NyuH5Folder(folder, split, **options)


def read_frame(
    path: str | Path,
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """Read a frame's picture, and its depth as float32 metres with 0 where it is missing.

    Raises `BrokenFileError` for a file that is not whole or does not hold the two datasets.
    """
    with _open(path) as file:
        rgb, depth = _dataset(path, file, "rgb"), _dataset(path, file, "depth")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[0] != 3 or not rgb.size:
        _refuse(path, "rgb", "uint8 of shape (3, h, w)", rgb)
    if not np.issubdtype(depth.dtype, np.floating) or depth.shape != rgb.shape[1:]:
        _refuse(path, "depth", f"floats in metres of shape {rgb.shape[1:]}", depth)
    return np.ascontiguousarray(rgb.transpose(1, 2, 0)), to_metres(depth)


def _import_h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "reading .h5 files needs h5py, which is not installed: pip install h5py"
        ) from error
    return h5py


@contextmanager
def _open(path: str | Path) -> Iterator[Any]:
    """The HDF5 file; its library's errors as `BrokenFileError`.

    Opened for each frame, since thousands cannot stay open; one thread reads at a time, by a
    lock of the library.
    """
    try:
        # A lock would serve nobody, and some network disks refuse it.
        with _import_h5py().File(path, "r", locking=False) as file:
            yield file
    except BrokenFileError:
        raise
    except (OSError, RuntimeError) as error:
        reason = f"it is not HDF5, or it is damaged ({one_line(str(error))})"
        raise BrokenFileError(path, reason) from error


def _dataset(path: str | Path, file: Any, name: str) -> np.ndarray:
    if not isinstance(file.get(name), _import_h5py().Dataset):
        found = ", ".join(sorted(file)) or "nothing"
        raise BrokenFileError(
            path, f"expected the datasets rgb and depth, found {found}"
        )
    return np.asarray(file[name][()])


def _refuse(path: str | Path, name: str, expected: str, found: np.ndarray) -> None:
    raise BrokenFileError(
        path, f"{name}: expected {expected}, found {found.dtype} of shape {found.shape}"
    )


def _holds_h5(folder: Path) -> bool:
    """Whether there is an .h5 file in the folder or up to three folders below it."""
    patterns = (f"{'*/' * depth}*{end}" for depth in range(5) for end in _SUFFIXES)
    return any(next(folder.glob(pattern), None) for pattern in patterns)
