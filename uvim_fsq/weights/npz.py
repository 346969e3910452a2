"""NumPy's archives of arrays, read one array at a time and without unpickling anything."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from uvim_fsq.errors import WeightsError

# What zipfile and NumPy raise for content that they cannot read.
_BROKEN = (
    *(ValueError, OSError, EOFError, KeyError, AttributeError),
    *(zipfile.BadZipFile, NotImplementedError, zlib.error),
)
_BFLOAT16 = np.dtype("V2")
"""big_vision stores bfloat16 as it comes from ml_dtypes; NumPy reads it back as raw bytes."""


class Header(NamedTuple):
    """What an archive says of an array before its values."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Archive(Mapping[str, np.ndarray]):
    """The arrays of an open `.npz` by name, each read when it is asked for and not kept.

    bfloat16 becomes float32. See `open_archive`.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile):
        self._path, self._file = path, file
        self._members = {
            name.removesuffix(".npy"): name
            for name in file.namelist()
            if name.endswith(".npy")
        }

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        with _explained(self._path), self._file.open(member) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        if array.dtype == _BFLOAT16:
            array = array.view(ml_dtypes.bfloat16)
        return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def headers(self) -> dict[str, Header]:
        """Shape and dtype of every array; no values are read."""
        return {name: self._header(member) for name, member in self._members.items()}

    def _header(self, member: str) -> Header:
        with _explained(self._path), self._file.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise WeightsError(
                f"{member.removesuffix('.npy')} of {self._path} holds pickled objects, which are "
                "never loaded: expected arrays of numbers"
            )
        return Header(shape, dtype)


@contextmanager
def open_archive(path: str | Path) -> Iterator[Archive]:
    """Opens a `.npz`.

    Raises:
      WeightsError: here and where arrays are read, if the file is missing, truncated, no `.npz`,
        or holds pickled objects.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise WeightsError(f"{path}: expected a .npz checkpoint, found {found}")
    with _explained(path):
        file = zipfile.ZipFile(path)
    with file:
        yield Archive(path, file)


def read_headers(path: str | Path) -> dict[str, Header]:
    """Shape and dtype of every array of a `.npz`; raises as `open_archive`."""
    with open_archive(path) as archive:
        return archive.headers()


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz`, bfloat16 as float32; raises as `open_archive`."""
    with open_archive(path) as archive:
        return dict(archive)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{path} cannot be read as a .npz of plain arrays ({error}): it may be truncated, "
            "of another format, or hold pickled objects, which are never loaded"
        ) from error
