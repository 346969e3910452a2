"""The cache of rendered scenes on disk: shards of `.npy` files that are read by memory mapping.

A stream of scenes lives in `CACHE/v<version>/seed<seed>-<split>-<h>x<w>/`, a shard in a folder
`<first>-<stop>` below it with one file for each array. A shard is written under a temporary name
and renamed: it is there whole or not at all, whoever else writes at the same time. Shards do not
depend on how many scenes were asked for, except the last one: a longer run reuses the others.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uvim_fsq.data.scenes.example import GENERATOR_VERSION, fields, render_example
from uvim_fsq.errors import DataError

_SHARD_BYTES = 16 << 20
_STALE_SECONDS = 3600
_TEMPORARY = ".tmp-"


def default_cache_dir() -> Path:
    """`$UVIM_FSQ_CACHE`, or `~/.cache/uvim_fsq/scenes`."""
    chosen = os.environ.get("UVIM_FSQ_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "uvim_fsq" / "scenes"


@dataclass(frozen=True)
class Stream:
    """One stream of scenes in a cache: which scenes, at which size (h, w), and where."""

    cache_dir: Path
    seed: int
    split: str
    size: tuple[int, int]

    @property
    def folder(self) -> Path:
        """Where its shards are."""
        h, w = self.size
        name = f"seed{self.seed}-{self.split}-{h}x{w}"
        return self.cache_dir / f"v{GENERATOR_VERSION}" / name

    @property
    def example_bytes(self) -> int:
        """Bytes of one example."""
        shapes = fields(self.size).values()
        return sum(int(np.prod(s)) * np.dtype(t).itemsize for s, t in shapes)

    @property
    def shard_length(self) -> int:
        """Scenes in a full shard: a power of two from 16 to 512, at most 16 MiB if it can."""
        length = 512
        while length > 16 and length * self.example_bytes > _SHARD_BYTES:
            length //= 2
        return length

    def shards(self, count: int) -> list["Shard"]:
        """The shards that hold the first `count` scenes."""
        step = self.shard_length
        return [Shard(self, i, min(i + step, count)) for i in range(0, count, step)]


@dataclass(frozen=True)
class Shard:
    """The scenes `first` to `stop` (exclusive) of a stream."""

    stream: Stream
    first: int
    stop: int

    @property
    def folder(self) -> Path:
        """Where its arrays are."""
        return self.stream.folder / f"{self.first:08d}-{self.stop:08d}"

    def open(self) -> dict[str, np.ndarray]:
        """Its arrays, mapped from disk, read-only.

        Raises `OSError` or `ValueError` where a file is missing, truncated, or of another shape.
        """
        arrays = {}
        for name, (shape, dtype) in fields(self.stream.size).items():
            path = self.folder / f"{name}.npy"
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            shape = (self.stop - self.first, *shape)
            whole = path.stat().st_size == array.offset + array.nbytes
            if array.shape != shape or array.dtype != np.dtype(dtype) or not whole:
                raise ValueError(
                    f"{path} is no array of shape {shape} and type {dtype}"
                )
            arrays[name] = np.asarray(array)
        return arrays

    def is_whole(self) -> bool:
        """Whether it is there and its files have the right headers and lengths."""
        try:
            self.open()
        except (OSError, ValueError, EOFError):
            return False
        return True

    def write(self, rendered: Callable[[int], None] = lambda number: None) -> None:
        """Renders it and puts it in place; calls `rendered(1)` after each scene.

        Raises `DataError` where the disk is full or the cache cannot be written.
        """
        if self.is_whole():
            rendered(self.stop - self.first)
            return
        stream, length = self.stream, self.stop - self.first
        arrays = {
            name: np.empty((length, *shape), dtype)
            for name, (shape, dtype) in fields(stream.size).items()
        }
        for i in range(length):
            index = self.first + i
            example = render_example(stream.seed, stream.split, index, stream.size)
            for name, value in example.items():
                arrays[name][i] = value
            rendered(1)
        temporary = _temporary(stream.folder)
        try:
            temporary.mkdir(parents=True)
            for name, array in arrays.items():
                with open(temporary / f"{name}.npy", "wb") as file:
                    np.lib.format.write_array_header_1_0(
                        file, np.lib.format.header_data_from_array_1_0(array)
                    )
                    file.write(array.data)
            self._install(temporary)
        except OSError as error:
            raise _unwritable(stream, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _install(self, temporary: Path) -> None:
        """Renames a written folder to its place, past a broken one or one just made by others."""
        for _ in range(10):
            try:
                temporary.rename(self.folder)
                return
            except OSError:
                if not self.folder.exists():
                    raise
                if self.is_whole():
                    return
            broken = _temporary(self.stream.folder)
            try:
                self.folder.rename(broken)
            except FileNotFoundError:
                continue
            shutil.rmtree(broken, ignore_errors=True)
        raise OSError(f"{self.folder} cannot be replaced")


def _temporary(folder: Path) -> Path:
    return folder / f"{_TEMPORARY}{secrets.token_hex(8)}"


def _unwritable(stream: Stream, error: OSError) -> DataError:
    """The one sentence for a full disk or a folder that cannot be written."""
    cause = error.strerror or str(error)
    return DataError(
        f"The cache of scenes needs to be written below {stream.cache_dir}, but: {cause}; free "
        "some space there, or choose another folder (environment variable UVIM_FSQ_CACHE)."
    )


def check_space(stream: Stream, shards: list[Shard]) -> None:
    """Makes the stream's folder, removes what killed runs left, and checks the free space.

    Raises `DataError` if the shards do not fit or the folder cannot be made.
    """
    needed = sum(s.stop - s.first for s in shards) * stream.example_bytes
    try:
        stream.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(stream.folder).free
    except OSError as error:
        raise _unwritable(stream, error) from error
    for entry in stream.folder.glob(f"{_TEMPORARY}*"):
        # Others may be writing, or removing the same: a shard takes a minute at most.
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
    if free < needed:
        raise DataError(
            f"The cache of scenes needs {needed / 1e6:.0f} MB below {stream.cache_dir}, where "
            f"{free / 1e6:.0f} MB are free; free some space there, ask for fewer or smaller "
            "scenes, or choose another folder (environment variable UVIM_FSQ_CACHE)."
        )
