"""Packing a dataset into ArrayRecord files, for reading it fast and moving it in a few files.

A picture whose file is a JPEG is copied as it is, without decoding it and encoding it again; other
pictures and all labels are stored as arrays, which the files compress. What is read back is the same
to the bit, unless one of the changes in `Changes` is asked for.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uvim_fsq.data.base import Source
from uvim_fsq.data.images import one_line
from uvim_fsq.data.packed.changes import Changes, make_record, source_fingerprint
from uvim_fsq.data.packed.source import (
    FORMAT,
    FORMAT_VERSION,
    INDEX_NAME,
    PARTS,
    import_array_record,
)
from uvim_fsq.errors import DataError
from uvim_fsq.files import write_text

SHARD_LENGTH = 4096
"""Examples in a file: some hundred megabytes of JPEG with labels."""

_WRITER_OPTIONS = "group_size:1,zstd:3"
_JOURNAL = "unfinished.json"


def pack(
    parts: Mapping[str, Source],
    path: str | Path,
    changes: Changes | None = None,
    *,
    shard_length: int = SHARD_LENGTH,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Path:
    """Pack sources, by the name of the part ("train", "validation"), into the new folder `path`.

    Each example is the source's `reference`, at its original size. The work is done in
    `.NAME.unfinished` beside `path` and renamed at the end; started again after an interruption, it goes
    on after the last whole file. `progress` is told of examples as they are done. Returns `path`.

    Raises `DataError` where `path` exists, the source is of a kind that cannot be stored, the disk is
    full, or an unfinished packing of something else is in the way.

    Example: `pack({"train": RgbdFolder("frames")}, "frames_packed", Changes(max_side=320))`.
    """
    if not parts or set(parts) - set(PARTS):
        raise ValueError(f"parts must be named {' or '.join(PARTS)}, got {list(parts)}")
    path = Path(path).expanduser().absolute()
    if path.exists():
        raise DataError(
            f"{path} exists and is not overwritten: delete it, or choose another folder"
        )
    packing = _Packing(dict(parts), path, changes or Changes(), shard_length)
    try:
        packing.begin()
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            for part in parts:
                packing.write_part(part, pool, progress)
        return packing.finish()
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; what is done stays in "
            f"{packing.work.name} beside it, and packing goes on from there"
        ) from error


class _Packing:
    """One packing: its work folder, and the journal of the files that are whole."""

    def __init__(
        self, parts: dict[str, Source], path: Path, changes: Changes, shard_length: int
    ):
        self.parts = parts
        self.path = path
        self.changes = changes
        self.shard_length = shard_length
        self.work = path.with_name(f".{path.name}.unfinished")
        self.module = import_array_record()
        self.ids = {
            part: [source.example_id(i) for i in range(len(source))]
            for part, source in parts.items()
        }
        categories = {tuple(source.categories) for source in parts.values()}
        if len(categories) > 1:
            raise DataError("the parts differ in their categories: pack them apart")
        self.categories = [category._asdict() for category in categories.pop()]
        self.journal: dict[str, Any] = {}

    def begin(self) -> None:
        """Makes the work folder, or takes up one that was left."""
        sources = {part: source_fingerprint(each) for part, each in self.parts.items()}
        plan = [self.ids, self.categories, asdict(self.changes), self.shard_length]
        plan.append(sources)
        text = json.dumps([FORMAT_VERSION, plan], allow_nan=False)
        fresh = {"plan": hashlib.sha256(text.encode()).hexdigest(), "shards": {}}
        self.work.mkdir(parents=True, exist_ok=True)
        try:
            self.journal = json.loads((self.work / _JOURNAL).read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            self.journal = fresh
        if self.journal.get("plan") != fresh["plan"]:
            raise DataError(
                f"{self.work} holds an unfinished packing of other examples, or with other "
                "settings or files that have changed since: give the same ones to go on, or delete "
                "the folder to begin anew"
            )

    def write_part(
        self, part: str, pool: ThreadPoolExecutor, progress: Callable[[int], None]
    ) -> None:
        """Writes every file of a part that is not there yet."""
        count = len(self.ids[part])
        starts = range(0, count, self.shard_length)
        for number, first in enumerate(starts):
            name = f"{part}-{number:05d}-of-{len(starts):05d}.array_record"
            rows = range(first, min(first + self.shard_length, count))
            entry = self.journal["shards"].get(name)
            if entry is None or not _has_length(self.work / name, entry["bytes"]):
                self._write_shard(part, name, rows, pool, progress)
            else:
                progress(len(rows))

    def _write_shard(
        self,
        part: str,
        name: str,
        rows: range,
        pool: ThreadPoolExecutor,
        progress: Callable[[int], None],
    ) -> None:
        source, changes = self.parts[part], self.changes
        shrink = changes.max_side if part == "train" else None

        def make(i: int) -> tuple[list[str], bytes]:
            return make_record(source, i, changes, shrink)

        file = self.work / f"{name}.part"
        labels = None
        with _writing():
            writer = self.module.ArrayRecordWriter(str(file), _WRITER_OPTIONS)
        for found, record in _ahead(pool, make, rows):
            labels = labels or found
            with _writing():
                writer.write(record)
            progress(1)
        with _writing():
            writer.close()
        os.replace(file, self.work / name)
        size = (self.work / name).stat().st_size
        entry = {"file": name, "count": len(rows), "bytes": size}
        self.journal["shards"][name] = entry
        self.journal["labels"] = labels
        _write_json(self.work / _JOURNAL, self.journal)

    def finish(self) -> Path:
        """Writes the index and puts the folder in its place."""
        shards = self.journal["shards"].values()
        index = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "labels": self.journal["labels"],
            "categories": self.categories,
            "changes": self.changes.describe(),
            "parts": {
                part: {
                    "ids": ids,
                    "shards": [s for s in shards if s["file"].startswith(f"{part}-")],
                }
                for part, ids in self.ids.items()
            },
        }
        _write_json(self.work / INDEX_NAME, index)
        (self.work / _JOURNAL).unlink()
        os.rename(self.work, self.path)
        return self.path


def _ahead(pool: ThreadPoolExecutor, make: Callable, rows: range) -> Iterator:
    """`make(i)` for each row, in order, made by the pool somewhat ahead."""
    waiting: deque = deque()
    try:
        for i in rows:
            waiting.append(pool.submit(make, i))
            if len(waiting) > 16:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def _writing() -> Iterator[None]:
    """The writer's failures, such as a full disk, as the `OSError` that they are."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise OSError(one_line(str(error))) from error


def _has_length(file: Path, length: int) -> bool:
    return file.is_file() and file.stat().st_size == length


def _write_json(file: Path, content: Any) -> None:
    write_text(file, json.dumps(content, allow_nan=False))
