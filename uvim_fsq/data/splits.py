"""What the sources that read folders share: finding files and parts, splits, saying what is wrong.

A folder may come in parts, `train/` and `validation/` (or `val/`, `test/`). Where there is no
validation part, an example goes to validation if a hash of its id falls below a given fraction: the
same on every machine, and no example changes sides when others are added.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from uvim_fsq.data.errors import DataError

_log = logging.getLogger(__name__)

Split = Literal["train", "validation", "all"]
PART_NAMES = {"train": ("train",), "validation": ("validation", "val", "test")}
"""The folders that hold a split, the first that is there counts."""

_LISTED = 10


def check_split(split: str) -> None:
    """Raise `ValueError` for what is not the name of a split."""
    if split not in ("train", "validation", "all"):
        raise ValueError(f"split must be train, validation or all, got {split!r}")


def check_folder(path: Path, layout: str) -> None:
    """Raise `DataError` where there is no folder; `layout` says what it should hold."""
    if not path.is_dir():
        problem = "is not a folder" if path.exists() else "does not exist"
        raise DataError(f"{path} {problem}; expected a folder with {layout}")


def find_parts(
    path: Path,
    split: Split,
    is_part: Callable[[Path], bool] = Path.is_dir,
    part_names: Mapping[str, Sequence[str]] = PART_NAMES,
) -> tuple[list[Path], bool]:
    """The parts that hold the split, and whether it must still be made by hashing.

    `is_part` says of a folder whether it is a part of such a dataset. A folder that has none is
    one part itself. Raises `DataError` if there is only a validation part and the split is train.
    """
    found = {
        part: [path / name for name in names if is_part(path / name)][:1]
        for part, names in part_names.items()
    }
    both = found["train"] + found["validation"]
    if not both:
        return [path], split != "all"
    if split == "all":
        return both, False
    if found[split] and len(both) == 2:
        return found[split], False
    if not found["train"]:
        if split == "train":
            train = part_names["train"][0]
            raise DataError(f"{path} has {both[0].name}/ but no {train}/ to train on")
        return both, False
    return both, True  # only train/: validation is a share of it


def contents(path: Path) -> str:
    """The first names in a folder, for messages."""
    names = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return shown or "nothing"


def list_files(
    folder: Path, suffixes: Iterable[str], problems: dict[str, str]
) -> dict[str, Path]:
    """The files below a folder with one of the endings, by path without ending, sorted.

    What is hidden does not count. A file whose name is taken goes to `problems`.
    """
    files: dict[str, Path] = {}
    # By parts: the order of paths, in a third of the time.
    for path in sorted(folder.rglob("*"), key=lambda path: path.parts):
        if path.suffix.lower() not in suffixes:
            continue
        name = os.path.splitext(path.relative_to(folder).as_posix())[0]
        if name.startswith(".") or "/." in name:
            continue
        if name in files:
            problems[str(path)] = (
                f"{path}: another file, {files[name].name}, has its name"
            )
        files.setdefault(name, path)
    return files


def report(path: Path, problems: Sequence[str], count: int, skip_broken: bool) -> None:
    """Refuse the examples that have problems, or log that they are left out."""
    if not skip_broken:
        advice = "mend or remove them, or leave them out with --skip-broken"
        refuse(path, problems, f"of {count} examples cannot be used; {advice}")
    if problems:
        what = f"left out {len(problems)} of {count} examples"
        _log.warning("%s: %s:%s", path, what, _first(problems))


def refuse(path: Path, problems: Sequence[str], what: str) -> None:
    """Raise one `DataError`, "path: number what:" and the first problems, if there are any."""
    if problems:
        raise DataError(f"{path}: {len(problems)} {what}:{_first(problems)}")


def _first(problems: Sequence[str]) -> str:
    shown = "".join(f"\n  {problem}" for problem in problems[:_LISTED])
    more = len(problems) - _LISTED
    return shown + (f"\n  and {more} more" if more > 0 else "")


def choose_ids(
    path: Path,
    ids: list[str],
    split: Split,
    fraction: float | None,
    group: Callable[[str], str] = str,
) -> list[str]:
    """The ids of the split: all of them, or by hash where a `fraction` is given.

    Raises `DataError` if none is left.
    """
    chosen = ids if fraction is None else _hash_split(ids, split, fraction, group)
    if not chosen:
        raise DataError(
            f"{path}: the part {split!r} is empty, of {len(ids)} usable "
            "examples in all; it needs at least one"
        )
    return chosen


def _hash_split(
    ids: list[str], split: Split, fraction: float, group: Callable[[str], str]
) -> list[str]:
    """Validation is where the hash of the group is below `fraction`; neither side stays empty."""

    def place(name: str) -> float:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64

    groups = {group(name) for name in ids}
    if len(groups) == 1:  # nothing to keep together
        group, groups = str, set(ids)
    validation = {name for name in groups if place(name) < fraction}
    if len(groups) > 1 and not validation:
        validation = {min(groups, key=place)}
    elif len(groups) > 1 and validation == groups:
        validation -= {max(groups, key=place)}
    wanted = split == "validation"
    return [name for name in ids if (group(name) in validation) == wanted]
