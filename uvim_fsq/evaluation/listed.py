"""Finds the pictures of data that a list names."""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from uvim_fsq.data.base import Source
from uvim_fsq.data.images import PICTURE_SUFFIXES
from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.fid_files import read_list

_LISTED = 3


def listed_indices(source: Source, file_list: str) -> list[int]:
    """Places in the source of the pictures that a list names, in the order of the list.

    A name is an example's id or its picture's path, whole or below the data's folder, with or without
    its ending; or the end of one of these where that is one picture's alone, such as a file's name.

    Raises:
      DataError: for names of no picture, of several, or of one that was named before.
    """
    find = _Names(source)
    indices: list[int] = []
    problems: list[str] = []
    seen: dict[int, str] = {}
    names = read_list(file_list)
    for name in names:
        found = find(name)
        if not found:
            problems.append(f"{name} is not there")
        elif len(found) > 1:
            ids = " and ".join(source.example_id(index) for index in found[:2])
            problems.append(f"{name} may be {ids}")
        elif found[0] in seen:
            problems.append(f"{name} is {seen[found[0]]} again")
        else:
            seen[found[0]] = name
            indices.append(found[0])
    if problems:
        more = (
            f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        )
        raise DataError(
            f"{file_list}: {len(problems)} of {len(names)} names are not each of one picture of the "
            f"data that is scored ({'; '.join(problems[:_LISTED])}{more}): name pictures by their "
            "paths below the folder of the data"
        )
    return indices


class _Names:
    """The places of examples by what they may be called."""

    def __init__(self, source: Source):
        self._files: dict[str, set[int]] = defaultdict(set)
        self._names: dict[str, set[int]] = defaultdict(set)
        self._ends: dict[str, dict[str, int]] = defaultdict(dict)
        for index in range(len(source)):
            own = {source.example_id(index)}
            for path in _paths(source, index):
                self._files[path].add(index)
                own.add(_without_ending(path))
            for name in own:
                self._names[name].add(index)
                self._ends[PurePosixPath(name).name][name] = index

    def __call__(self, name: str) -> list[int]:
        """All that a name may mean; what is meant more exactly counts alone."""
        plain = PurePosixPath(name).as_posix()  # Without "./".
        bare = _without_ending(plain)
        ends = {
            index
            for whole, index in self._ends[PurePosixPath(bare).name].items()
            if f"/{whole}".endswith(f"/{bare}")
        }
        choices = (self._files[plain], self._names[plain], self._names[bare], ends)
        return sorted(next((found for found in choices if found), ()))


def _paths(source: Any, index: int) -> list[str]:
    """The path of an example's picture, below the data's folder and whole, where it has one."""
    if not hasattr(source, "image_file"):
        return []
    file: Path = source.image_file(index)
    below = [file.relative_to(source.path)] if file.is_relative_to(source.path) else []
    return [path.as_posix() for path in (*below, file)]


def _without_ending(name: str) -> str:
    path = PurePosixPath(name)
    is_picture = path.suffix.lower() in PICTURE_SUFFIXES
    return (path.with_suffix("") if is_picture else path).as_posix()
