"""The built-in source: indoor scenes with picture, depth and panoptic map from one render."""

from operator import index as as_index
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from uvim_fsq.data.scenes import categories
from uvim_fsq.data.scenes.cache import Stream, default_cache_dir
from uvim_fsq.data.scenes.example import GENERATOR_VERSION
from uvim_fsq.data.scenes.prepare import prepare_scenes
from uvim_fsq.data.scenes.room.layout import SPLITS
from uvim_fsq.errors import DataError
from uvim_fsq.types import Category, Example

__all__ = ["CATEGORIES", "GENERATOR_VERSION", "Scenes"]

# The renderer's own table is plain, since it must not import JAX, as `uvim_fsq.types` does.
CATEGORIES = tuple(
    Category(row["id"], row["name"], bool(row["isthing"]), tuple(row["color"]))
    for row in categories.CATEGORIES
)
"""The classes of the panoptic maps: ids are 1, 2, ...; 0 is void."""


class Scenes:
    """The first `count` scenes of a split's stream at one size (h, w); random access.

    An example holds `image` uint8 (h w 3), `depth` float32 (h w) in metres (z-depth, whole
    millimetres, none missing), `panoptic` int32 (h w) of segment ids with 0 for void,
    `segments` (dicts `id`, `category_id`, `iscrowd`, `area`) and `id`. Example i is a function
    of (seed, split, i) and the size, and at another size it is the same scene.

    The scenes are rendered once into `cache_dir` (default: see `default_cache_dir`) by
    `workers` processes (default: one for each core) and then read from there.

    Raises `DataError` for a size, count, seed or split that cannot be, or a full disk.

    >>> source = Scenes((32, 32), count=100)  # doctest: +SKIP
    >>> source[0]["image"].shape  # doctest: +SKIP
    (32, 32, 3)
    """

    def __init__(
        self,
        size: tuple[int, ...],
        count: int,
        seed: int = 0,
        split: str = "train",
        cache_dir: str | Path | None = None,
        workers: int | None = None,
    ):
        _check(size, count, seed, split, workers)
        place = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self.size = (int(size[0]), int(size[1]))
        self._count = int(count)
        self._stream = Stream(place, int(seed), split, self.size)
        prepare_scenes(self._stream, self._count, workers)
        self._shards = self._stream.shards(self._count)
        self._open: dict[int, dict[str, np.ndarray]] = {}

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes of the panoptic maps."""
        return CATEGORIES

    @property
    def folder(self) -> Path:
        """Where the rendered scenes are."""
        return self._stream.folder

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: SupportsIndex, /) -> Example:
        number, row = self._locate(index)
        arrays = self._arrays(number)
        areas = arrays["segments"][row].tolist()
        return {
            "image": np.array(arrays["image"][row]),
            "depth": arrays["depth"][row] * np.float32(1e-3),
            "panoptic": arrays["panoptic"][row].astype(np.int32),
            "segments": [
                {"id": j, "category_id": category, "iscrowd": 0, "area": area}
                for j, (category, area) in enumerate(areas, 1)
                if area
            ],
            "id": self.example_id(index),
        }

    def reference(self, index: SupportsIndex, /) -> dict[str, Any]:
        """The example and its `size`: the original size is the size it is rendered at."""
        return {**self[index], "size": self.size}

    def example_id(self, index: SupportsIndex, /) -> str:
        """A name such as `scene-0-train-000017`: the seed, the split, the number."""
        stream = self._stream
        self._locate(index)
        return f"scene-{stream.seed}-{stream.split}-{as_index(index):06d}"

    def stamp(self, index: SupportsIndex, /) -> tuple[str, str]:
        """Its name; the generator's version, and the size."""
        h, w = self.size
        return self.example_id(index), f"generator {GENERATOR_VERSION}, {h} x {w}"

    def _locate(self, index: SupportsIndex) -> tuple[int, int]:
        number = as_index(index)
        if not 0 <= number < self._count:
            raise IndexError(f"scene {number} of {self._count}")
        return divmod(number, self._stream.shard_length)

    def _arrays(self, number: int) -> dict[str, np.ndarray]:
        arrays = self._open.get(number)
        if arrays is None:
            # Threads may both map a shard; either mapping serves.
            arrays = self._open[number] = self._shards[number].open()
        return arrays

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}


def _check(size, count, seed, split, workers) -> None:
    """Raises `DataError` for arguments that make no source."""
    if len(size) != 2 or min(size) < 8 or max(size) > 4096:
        raise DataError(
            f"expected a size (height, width) of 8 to 4096 pixels, got {size}"
        )
    if count < 1:
        raise DataError(f"expected a count of at least 1 scene, got {count}")
    if seed < 0:
        raise DataError(f"expected a seed of at least 0, got {seed}")
    if split not in SPLITS:
        raise DataError(f"expected a split of {', '.join(SPLITS)}, got {split!r}")
    if workers is not None and workers < 1:
        raise DataError(f"expected at least 1 worker, got {workers}")
