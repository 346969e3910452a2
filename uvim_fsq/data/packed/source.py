"""Packed datasets: examples in ArrayRecord files, read at random as fast as the disk.

A packed folder is what `uvim_fsq.data.packed.pack` makes:

    index.json                                what is in it, see `read_index`
    train-00000-of-00002.array_record  ...    the examples of the part `train`, in order
    validation-00000-of-00001.array_record
"""

import importlib
import itertools
import json
from operator import index as as_index
from pathlib import Path
from typing import Any, SupportsIndex

import cv2

from uvim_fsq.data.base import locate
from uvim_fsq.data.images import one_line
from uvim_fsq.data.packed.record import decode_record
from uvim_fsq.data.parts import check_split
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.files import name_problem
from uvim_fsq.types import Category

INDEX_NAME = "index.json"
FORMAT = "uvim_fsq records"
FORMAT_VERSION = 1
PARTS = ("train", "validation")


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
        check_split(split)
        import_array_record()
        self.path = Path(path).expanduser()
        index = read_index(self.path)
        parts = list(index["parts"]) if split == "all" else [split]
        if missing := [part for part in parts if part not in index["parts"]]:
            raise DataError(
                f"{self.path} was packed without a part {missing[0]!r}; it has "
                f"{', '.join(index['parts'])}"
            )
        self.categories = tuple(
            Category(row["id"], row["name"], row["isthing"], tuple(row["color"]))
            for row in index["categories"]
        )
        """The classes of panoptic labels, without void; empty where there are none."""
        chosen = [index["parts"][part] for part in parts]
        self._ids: list[str] = [name for part in chosen for name in part["ids"]]
        self._shards: list[dict[str, Any]] = [s for p in chosen for s in p["shards"]]
        _check_shards(self.path, self._shards)
        self._ends = list(itertools.accumulate(s["count"] for s in self._shards))
        self._records = _open(self.path, self._shards)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: SupportsIndex, /) -> dict[str, Any]:
        """The example as it was packed: `image`, the labels, `id`."""
        number, shard, row = self._locate(index)
        path = self.path / self._shards[shard]["file"]
        record = self._read(number, path, row)
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
        return number, *locate(self._ends, number)

    def _read(self, number: int, path: Path, row: int) -> bytes:
        try:
            return self._records[number]
        except (RuntimeError, ValueError, IndexError) as error:
            reason = f"record {row} cannot be read: {one_line(str(error))}"
            raise BrokenFileError(path, reason) from error


def import_array_record() -> Any:
    """The package's module, or a `DataError` that says how to install it."""
    try:
        return importlib.import_module("array_record.python.array_record_module")
    except ImportError as error:
        raise DataError(
            "packed datasets need the package array-record, which cannot be imported "
            f"({error}): pip install array-record"
        ) from error


def _open(path: Path, shards: list[dict[str, Any]]) -> Any:
    """The records of all files in a row; a file is opened when one of its records is asked for."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    files = [f"{path / shard['file']}[0:{shard['count']}]" for shard in shards]
    # One record at a time: no threads of the reader's own.
    return ArrayRecordDataSource(files, {"max_parallelism": "0"}) if files else []


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
