"""Packed datasets: examples in ArrayRecord files, read at random as fast as the disk.

A packed folder is what `uvim_fsq.data.packed.pack` makes:

    index.json                                what is in it, see `read_index`
    train-00000-of-00002.array_record  ...    the examples of the part `train`, in order
    validation-00000-of-00001.array_record

A record is one example: four bytes with the length of its header (little-endian), the header as JSON,
and the bytes of its arrays. A picture that was a JPEG file is still that file's bytes; every other
array is stored as it lies in memory, and the ArrayRecord file compresses it. That reads several
times as fast as PNG at about the same size.
"""

import bisect
import importlib
import itertools
import json
import math
import threading
from collections.abc import Mapping
from operator import index as as_index
from pathlib import Path
from typing import Any, SupportsIndex

import cv2
import numpy as np

from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.files import name_problem
from uvim_fsq.types import Category

INDEX_NAME = "index.json"
FORMAT = "uvim_fsq records"
FORMAT_VERSION = 1
PARTS = ("train", "validation")

_ALIGNMENT = 8
# Of one record at a time: nothing is read ahead.
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
_READER_BUFFER = 32768


class Records:
    """The examples of a packed folder, the same to the bit as those that were packed.

    `split` is "train", "validation", or "all" for every part. Safe to use from several threads, also
    after pickling. What the pictures and labels are is up to the dataset that was packed; see
    `uvim_fsq.data.packed.pack` for what packing may change when asked to.

    Raises `DataError` where the folder is not a packed one, was packed by a newer version, has no such
    part, or where files are missing or cut short; and `BrokenFileError` on reading a damaged record.

    Example: `Records("nyu_packed", "validation")[0]["depth"].max()` in metres.
    """

    def __init__(self, path: str | Path, split: str = "train"):
        if split not in (*PARTS, "all"):
            raise ValueError(f"split must be train, validation or all, got {split!r}")
        self._module = import_array_record()
        self.path = Path(path).expanduser()
        index = read_index(self.path)
        parts = list(index["parts"]) if split == "all" else [split]
        if missing := [part for part in parts if part not in index["parts"]]:
            raise DataError(
                f"{self.path} was packed without a part {missing[0]!r}; it has "
                f"{', '.join(index['parts'])}"
            )
        self._categories = tuple(
            Category(row["id"], row["name"], row["isthing"], tuple(row["color"]))
            for row in index["categories"]
        )
        chosen = [index["parts"][part] for part in parts]
        self._ids: list[str] = [name for part in chosen for name in part["ids"]]
        self._shards: list[dict[str, Any]] = [s for p in chosen for s in p["shards"]]
        _check_shards(self.path, self._shards)
        counts = [shard["count"] for shard in self._shards]
        self._starts = list(itertools.accumulate(counts, initial=0))
        self._readers: dict[int, Any] = {}
        self._lock = threading.Lock()

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes of panoptic labels, without void; empty where there are none."""
        return self._categories

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: SupportsIndex, /) -> dict[str, Any]:
        """The example as it was packed: `image`, the labels, `id`."""
        number, shard, row = self._locate(index)
        path = self.path / self._shards[shard]["file"]
        record = self._read(path, shard, row)
        try:
            example = decode_record(record)
        except (ValueError, KeyError, TypeError, cv2.error) as error:
            reason = f"record {row} cannot be decoded: {error}"
            raise BrokenFileError(path, reason) from error
        if example["id"] != self._ids[number]:
            raise BrokenFileError(
                path,
                f"record {row} holds the example {example['id']!r} where the index has "
                f"{self._ids[number]!r}: the file is of another packing",
            )
        return example

    def reference(self, index: SupportsIndex, /) -> dict[str, Any]:
        """The example and its `size` (height, width), the one that it was packed at."""
        example = self[index]
        return {**example, "size": example["image"].shape[:2]}

    def example_id(self, index: SupportsIndex, /) -> str:
        """The id that the packed dataset gave it."""
        return self._ids[self._locate(index)[0]]

    def stamp(self, index: SupportsIndex, /) -> tuple[str, str]:
        """Its id; the size of the file that it is in, and its place there."""
        number, shard, row = self._locate(index)
        return self._ids[number], f"{self._shards[shard]['bytes']} {row}"

    def _locate(self, index: SupportsIndex) -> tuple[int, int, int]:
        """Its place among all, its shard and its place in there."""
        number = as_index(index)
        if not 0 <= number < len(self._ids):
            raise IndexError(f"example {number} of {len(self._ids)}")
        shard = bisect.bisect_right(self._starts, number) - 1
        return number, shard, number - self._starts[shard]

    def _read(self, path: Path, shard: int, row: int) -> bytes:
        try:
            with self._lock:
                reader = self._readers.get(shard)
                if reader is None:
                    reader = self._readers[shard] = self._module.ArrayRecordReader(
                        str(path),
                        options=_READER_OPTIONS,
                        file_reader_buffer_size=_READER_BUFFER,
                    )
            # Any number of threads may read through one reader at a time.
            return reader.read([row])[0]
        except (RuntimeError, ValueError, IndexError) as error:
            reason = f"record {row} cannot be read: {' '.join(str(error).split())}"
            raise BrokenFileError(path, reason) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": {}, "_lock": None, "_module": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._module = import_array_record()
        self._lock = threading.Lock()


def import_array_record() -> Any:
    """The package's module, or a `DataError` that says how to install it."""
    try:
        return importlib.import_module("array_record.python.array_record_module")
    except ImportError as error:
        raise DataError(
            "packed datasets need the package array-record, which cannot be imported "
            f"({error}): pip install array-record"
        ) from error


def read_index(path: Path) -> dict[str, Any]:
    """The contents of a packed folder's `index.json`.

    `format`, `version`, `categories` (dicts), `labels` (names of the arrays beside the image), `changes`
    (sentences on what packing changed) and `parts`: by name the `ids` and the `shards`, dicts of
    `file`, `count` and `bytes`. Raises `DataError` where that is not what is there.
    """
    file = path / INDEX_NAME
    try:
        index = json.loads(file.read_text("utf-8"))
        if index["format"] != FORMAT:
            raise KeyError
        version = int(index["version"])
    except FileNotFoundError:
        problem = f"has no {INDEX_NAME}" if path.is_dir() else "is not a folder"
        raise DataError(
            f"{path} {problem}; expected a packed folder, as `prepare_data.py pack` makes it"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenFileError(file, "it is not the index of a packed folder") from error
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path} was packed in format {version}, and this version of the program reads up "
            f"to {FORMAT_VERSION}: update the program, or pack the data again"
        )
    return index


def _check_shards(path: Path, shards: list[dict[str, Any]]) -> None:
    """Raises one `DataError` that names every file that is missing or has another length."""
    problems = []
    for shard in shards:
        if problem := name_problem(shard["file"]):
            problems.append(f"{INDEX_NAME} names a file that is none of it: {problem}")
            continue
        try:
            found = (path / shard["file"]).stat().st_size
        except OSError:
            problems.append(f"{shard['file']} is missing")
            continue
        if found != shard["bytes"]:
            problems.append(
                f"{shard['file']} has {found:,} bytes instead of {shard['bytes']:,}"
            )
    if problems:
        raise DataError(
            f"{path} is not whole: {'; '.join(problems)}; copy or pack it again"
        )


def encode_record(
    values: Mapping[str, Any], jpegs: Mapping[str, bytes] | None = None
) -> bytes:
    """One record of an example: arrays, and whatever JSON can hold.

    `jpegs` are files to store in place of an array of the same name.
    """
    header: dict[str, Any] = {"values": {}, "arrays": {}}
    parts = []
    for name, value in values.items():
        if jpegs and name in jpegs:
            header["arrays"][name] = ["jpeg", len(jpegs[name])]
            parts.append(jpegs[name])
        elif isinstance(value, np.ndarray):
            stored = value.astype(value.dtype.newbyteorder("<"), copy=False)
            header["arrays"][name] = [stored.dtype.str, list(stored.shape)]
            parts.append(stored.tobytes())
        else:
            header["values"][name] = value
    text = json.dumps(
        header, default=_number, separators=(",", ":"), allow_nan=False
    ).encode()
    text += b" " * (-(len(text) + 4) % _ALIGNMENT)
    padded = [part + bytes(-len(part) % _ALIGNMENT) for part in parts]
    return b"".join([len(text).to_bytes(4, "little"), text, *padded])


def decode_record(record: bytes) -> dict[str, Any]:
    """The example that `encode_record` was given, in arrays of its own."""
    start = 4 + int.from_bytes(record[:4], "little")
    header = json.loads(record[4:start])
    example: dict[str, Any] = {}
    for name, (kind, shape) in header["arrays"].items():
        if kind == "jpeg":
            data = np.frombuffer(record, np.uint8, shape, start)
            example[name] = decode_jpeg(data)
            length = shape
        else:
            flat = np.frombuffer(record, np.dtype(kind), math.prod(shape), start)
            example[name] = flat.reshape(shape).copy()
            length = flat.nbytes
        start += length + -length % _ALIGNMENT
    return example | header["values"]


def decode_jpeg(data: np.ndarray) -> np.ndarray:
    """RGB uint8 (h w 3) of a JPEG file's bytes (uint8), turned as its EXIF entry says."""
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("a picture is not a JPEG, or is damaged")
    return image


def _number(value: Any) -> Any:
    """NumPy's numbers as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored in a record")
