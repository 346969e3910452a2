"""One look at every example of a dataset before it is used, remembered between runs.

What was found good is kept in a small JSON file and looked at again only if a file's name, size or
modification time changed. Examples that were not good are looked at every time.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from uvim_fsq.errors import DataError
from uvim_fsq.files import write_whole

_log = logging.getLogger(__name__)
_VERSION = 2
"""Raised when checks become stricter, so that what was found good before is looked at again."""

Files = tuple[Path, ...]
"""The files of one example."""


def scan(
    files: Mapping[str, Files],
    check: Callable[[str], tuple[int, int]],
    cache_file: Path,
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Check every example; return the sizes of the good and the problems of the others.

    `check` is given an example's id and returns height and width, or raises `DataError` with the
    problem as its message. Both results are keyed by id, in the order of `files`.
    """
    cached = _read(cache_file)
    stamps = {name: _stamp(paths) for name, paths in files.items()}
    entries = {n: e for n, e in cached.items() if e[0] == stamps.get(n, e[0])}
    todo = [name for name in files if name not in entries]
    if len(todo) > 200:
        _log.info("checking the files of %d examples, once", len(todo))

    def look(name: str) -> tuple[int, int] | str:
        try:
            return check(name)
        except DataError as error:
            return str(error)

    problems: dict[str, str] = {}
    with ThreadPoolExecutor() as pool:
        for name, found in zip(todo, pool.map(look, todo), strict=True):
            if isinstance(found, str):
                problems[name] = found
            else:
                entries[name] = [stamps[name], *found]
    # Examples of the dataset that are not asked for now stay remembered.
    if entries != cached:
        text = json.dumps({"version": _VERSION, "entries": entries}, allow_nan=False)
        keep(cache_file, text.encode())
    sizes = {n: (int(entries[n][1]), int(entries[n][2])) for n in files if n in entries}
    return sizes, problems


def cache_directory(given: str | Path | None = None) -> Path:
    """The folder for what can be computed again.

    `given`, or the environment variable UVIM_FSQ_CACHE, or `~/.cache/uvim_fsq`.
    """
    return Path(
        given or os.environ.get("UVIM_FSQ_CACHE") or "~/.cache/uvim_fsq"
    ).expanduser()


def cache_name(kind: str, path: Path) -> str:
    """The name of the cache file that belongs to a dataset at `path`."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return f"scan-{kind}-{digest}.json"


def files_fingerprint(files: Mapping[str, Files], *settings: Any) -> str:
    """A hash of examples' files, by name, size and time of change, and of settings that read them."""
    lines = [f"{name} {_stamp(paths)}" for name, paths in files.items()]
    text = json.dumps([lines, settings], allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(paths: Files) -> str:
    try:
        stats = [(path, path.stat()) for path in paths]
    except OSError:  # a link to nowhere, say: the check will name it
        return ""
    return " ".join(f"{p.name}:{s.st_size}:{s.st_mtime_ns}" for p, s in stats)


def _read(cache_file: Path) -> dict[str, list]:
    try:
        content = json.loads(cache_file.read_text("utf-8"))
        entries = content["entries"] if content["version"] == _VERSION else {}
        return {name: entry for name, entry in entries.items() if len(entry) == 3}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        _log.info("%s is not readable: every file is checked again", cache_file)
        return {}


def keep(cache_file: Path, content: bytes) -> None:
    """Write what can be computed again; a warning where that fails."""
    try:
        write_whole(cache_file, content)
    except OSError as error:
        _log.warning("what was read is not kept for the next run: %s", error)
