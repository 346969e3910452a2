"""Records that TFDS wrote, by position: which files hold them, and reading them without TensorFlow.

ArrayRecord files are read by their own library. TFRecord files have no index, so the place of each
record is looked up once and remembered: a record is its length (8 bytes, little-endian), a checksum
of that (4 bytes), the data, and a checksum of the data (4 bytes). Checksums are not verified.
"""

import hashlib
import io
import json
import logging
import os
import resource
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from uvim_fsq.data.base import locate
from uvim_fsq.data.images import one_line
from uvim_fsq.data.scan import keep
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.types import Int

_log = logging.getLogger(__name__)
_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
_FRAME_BYTES = _LENGTH_BYTES + 2 * _CHECKSUM_BYTES


class Piece(NamedTuple):
    """Consecutive records of one file, as a split or a slice of one takes them."""

    path: Path
    split: str
    start: int
    """Position in the whole split of the first record that is taken."""
    skip: int
    """Records of the file before it."""
    take: int
    length: int
    """Records in the file."""


def find_pieces(info: Any, split: str) -> list[Piece]:
    """The pieces of files that a split consists of, in order; slices as TFDS writes them.

    Raises `DataError` for a split that the data do not have, and for an empty one.
    """
    starts = {}
    for name, whole in info.splits.items():
        firsts = accumulate(whole.shard_lengths, initial=0)
        for path, first in zip(whole.filepaths, firsts, strict=False):
            starts[os.fspath(path)] = (name, first)
    try:
        instructions = info.splits[split].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        raise DataError(
            f"{info.full_name} has the splits {', '.join(info.splits)}, and slices of them such "
            f"as train[:10%]; got {split!r}"
        ) from error
    pieces = []
    for each in instructions:
        name, first = starts[os.fspath(each.filename)]
        path, start = Path(each.filename), first + each.skip
        pieces.append(
            Piece(path, name, start, each.skip, each.take, each.examples_in_shard)
        )
    if not sum(piece.take for piece in pieces):
        raise DataError(f"the split {split!r} of {info.full_name} is empty")
    return pieces


def open_records(file_format: str, pieces: Sequence[Piece], cache_dir: Path) -> Any:
    """The serialized examples of the pieces, by position; every file is there and holds as many as it should."""
    missing = [piece.path for piece in pieces if not piece.path.is_file()]
    if missing:
        raise BrokenFileError(
            missing[0],
            f"there is no such file, nor {len(missing) - 1} others of {len(pieces)}: copy "
            "the whole folder, or remove it and prepare the data again",
        )
    if file_format == "array_record":
        return _open_array_records(pieces)
    if file_format == "tfrecord":
        return TfRecords(pieces, cache_dir)
    raise DataError(
        f"{pieces[0].path.parent} is prepared as {file_format}, expected array_record or "
        "tfrecord: prepare it again, into another --data-dir"
    )


def _open_array_records(pieces: Sequence[Piece]) -> Any:
    from array_record.python import array_record_data_source as data_source
    from array_record.python.array_record_module import ArrayRecordReader

    def count(path: Path) -> int:
        try:
            reader = ArrayRecordReader(os.fspath(path))
            number = reader.num_records()
            reader.close()
        except (RuntimeError, ValueError) as error:
            raise BrokenFileError(path, _damaged(str(error))) from error
        return number

    with ThreadPoolExecutor() as pool:
        counts = pool.map(count, [piece.path for piece in pieces])
        for piece, number in zip(pieces, counts, strict=True):
            _check_count(piece, number)
    _allow_open_files(len(pieces))
    ranges = [f"{p.path}[{p.skip}:{p.skip + p.take}]" for p in pieces]
    return data_source.ArrayRecordDataSource(ranges)


def _allow_open_files(count: int) -> None:
    """Raise this process's own limit, often 1,024, because readers keep their files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = soft + 2 * count
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if needed > soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class TfRecords:
    """Records of TFRecord files by position, with an index that is built once and kept.

    Building reads 12 bytes of each record. Each access opens its file, so that threads share
    nothing and thousands of files are no trouble. The index is kept below `cache_dir` until a
    file changes.
    """

    def __init__(self, pieces: Sequence[Piece], cache_dir: Path):
        self._pieces = list(pieces)
        self._ends = list(accumulate(piece.take for piece in pieces))
        self._offsets = _offsets(pieces, cache_dir)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> bytes:
        number, row = locate(self._ends, index)
        piece, offsets = self._pieces[number], self._offsets[number]
        start = int(offsets[piece.skip + row]) + _LENGTH_BYTES + _CHECKSUM_BYTES
        end = int(offsets[piece.skip + row + 1]) - _CHECKSUM_BYTES
        with piece.path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), end - start, start)
        if len(data) != end - start:
            raise BrokenFileError(piece.path, _damaged("it became shorter"))
        return data


def _offsets(pieces: Sequence[Piece], cache_dir: Path) -> list[Int[np.ndarray, "n"]]:
    """Where the records of each piece's file begin and the last one ends, remembered."""
    stats = [piece.path.stat() for piece in pieces]
    stamps = json.dumps(
        [[each.st_size, each.st_mtime_ns] for each in stats], allow_nan=False
    )
    places = json.dumps(
        [[str(p.path.resolve()), p.skip, p.take] for p in pieces], allow_nan=False
    )
    digest = hashlib.sha256(places.encode()).hexdigest()[:16]
    cache_file = cache_dir / f"tfds-offsets-{digest}.npz"
    cuts = np.cumsum([piece.length + 1 for piece in pieces])[:-1]
    try:
        with cache_file.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if str(kept["stamps"]) == stamps:
                return np.split(kept["values"], cuts)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass  # there is none, or not a whole one
    count = sum(piece.length for piece in pieces)
    if count > 10_000:
        _log.info("looking up the places of %d examples, once", count)
    offsets = np.concatenate(list(map(_scan, pieces)))
    archive = io.BytesIO()
    np.savez(archive, stamps=stamps, values=offsets)
    keep(cache_file, archive.getvalue())
    return np.split(offsets, cuts)


def _scan(piece: Piece) -> Int[np.ndarray, "n"]:
    """Walk from record to record by their lengths."""
    offsets, size = [0], piece.path.stat().st_size
    with piece.path.open("rb", buffering=0) as file:
        while offsets[-1] < size:
            head = os.pread(file.fileno(), _LENGTH_BYTES, offsets[-1])
            end = offsets[-1] + int.from_bytes(head, "little") + _FRAME_BYTES
            if len(head) < _LENGTH_BYTES or end > size:
                reason = f"it ends within record {len(offsets) - 1}"
                raise BrokenFileError(piece.path, _damaged(reason))
            offsets.append(end)
    _check_count(piece, len(offsets) - 1)
    return np.asarray(offsets, np.int64)


def _check_count(piece: Piece, number: int) -> None:
    if number != piece.length:
        reason = f"expected {piece.length} records, found {number}"
        raise BrokenFileError(piece.path, _damaged(reason))


def _damaged(reason: str) -> str:
    return (
        f"{one_line(reason)}; copy the file again, or remove the folder and prepare the data "
        "again"
    )
