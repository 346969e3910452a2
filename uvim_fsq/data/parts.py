"""What the sources that read folders share: parts, splits by hash, saying what is wrong.

A folder may come in parts, `train/` and `validation/` or one of their other usual names. Where there is no
validation part, an example goes to validation if a hash of its group falls below a given fraction: the
same on every machine, and no example changes sides when others are added. A group is the example
itself, or the folder that it lies in: frames of one video are much alike, and stay together.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from uvim_fsq.data.listing import first_names, lost_folder, say_once
from uvim_fsq.errors import DataError

Split = Literal["train", "validation", "all"]
SplitBy = Literal["folder", "file"]
PART_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "test", "testing"),
}
"""The folders that hold a split, in lower case; the first that is there counts."""

_BEHIND = re.compile(r"([-_ ]?(set|split))?[0-9]*$")
"""What may stand behind the name of a part."""

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

    `is_part` says of a folder whether it is a part of such a dataset. Names count in any case and with
    a year or `set` behind, as `Train`, `val2017` and `test_set`. A folder that has none is one part itself. Raises
    `DataError` if there is only a validation part and the split is train.
    """
    found = {
        part: [place for place in _places(path, names) if is_part(place)][:1]
        for part, names in part_names.items()
    }
    both = found["train"] + found["validation"]
    if len(both) == 2 and both[0].samefile(both[1]):
        raise DataError(
            f"{path}: {both[0].name}/ and {both[1].name}/ are one folder, by a link: what is trained on "
            "would be validated on; remove one, and a share is held out"
        )
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


def part_of(name: str) -> str | None:
    """The split that a folder of this name holds; None for other names.

    >>> part_of("Valid"), part_of("val2017"), part_of("trains")
    ('validation', 'validation', None)
    """
    return next((p for p, names in PART_NAMES.items() if _plain(name) in names), None)


def _places(path: Path, names: Sequence[str]) -> Iterator[Path]:
    """Where the parts of these names would be, the likeliest first."""
    entries = sorted(path.iterdir())
    for name in names:
        spelt = [e for e in entries if _plain(e.name) == name and e.name != name]
        for place in (path / name, *spelt):
            target = lost_folder(place)
            if target is not None:
                say_once(
                    f"{place}: a link that copying made text of: followed to {target}"
                )
            yield target or place


def _plain(name: str) -> str:
    return _BEHIND.sub("", name.lower())


def say_beside(path: Path, is_part: Callable[[Path], bool] = Path.is_dir) -> None:
    """Log which folders beside the parts of a dataset are not read."""
    used, _ = find_parts(path, "all", is_part)
    if used == [path]:
        return
    others = [
        f"{entry.name}/"
        for entry in sorted(path.iterdir())
        if entry.is_dir() and not entry.name.startswith(".") and entry not in used
    ]
    if others:
        parts = " and ".join(f"{part.name}/" for part in used)
        say_once(
            f"{path}: beside {parts}, {', '.join(others[:_LISTED])} is not read; "
            "--data.evaluation-path names a folder to score on"
        )


def say_deeper_parts(path: Path, ids: Iterable[str]) -> None:
    """Log that there are folders named like parts where none are looked for."""
    names = {name for each in ids for name in each.split("/")[:-1]}
    deeper = sorted(name for name in names if part_of(name))
    if any(part_of(name) == "validation" for name in deeper):
        say_once(
            f"{path}: {', '.join(f'{name}/' for name in deeper)} lie deeper in it, and the split is by "
            "hash all the same: give the folder that holds them as --data.path to use them"
        )


def contents(path: Path) -> str:
    """The first names in a folder, for messages."""
    names = sorted(entry.name for entry in path.iterdir())
    return first_names(names, _LISTED) or "nothing"


def report(path: Path, problems: Sequence[str], count: int, skip_broken: bool) -> None:
    """Refuse the examples that have problems, or log that they are left out."""
    if problems and skip_broken:
        what = f"left out {len(problems)} of {count} examples"
        say_once(f"{path}: {what}:{_first(problems)}")
    else:
        advice = "mend or remove them, or leave them out with --skip-broken"
        refuse(path, problems, f"of {count} examples cannot be used; {advice}")


def refuse(path: Path, problems: Sequence[str], what: str) -> None:
    """Raise one `DataError`, "path: number what:" and the first problems, if there are any."""
    if problems:
        raise DataError(f"{path}: {len(problems)} {what}:{_first(problems)}")


def _first(problems: Sequence[str]) -> str:
    """Sentences in which names of files can neither break the line nor steer a terminal."""

    def plain(text: str) -> str:
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

    shown = "".join(f"\n  {plain(problem)}" for problem in problems[:_LISTED])
    more = len(problems) - _LISTED
    return shown + (f"\n  and {more} more" if more > 0 else "")


def folder_of(name: str, part: str = "") -> str:
    """The group of an example that stays with those in its folder; itself where it lies in none.

    The folder of a part is none.

    >>> folder_of("kitchen_0004/00051"), folder_of("00051"), folder_of("train/3", "train")
    ('kitchen_0004', '00051', 'train/3')
    """
    folder = name.rpartition("/")[0]
    return name if folder in ("", part) else folder


def choose_ids(
    path: Path,
    ids: list[str],
    split: Split,
    fraction: float | None,
    group: Callable[[str], str] = str,
) -> list[str]:
    """The ids of the split: all of them, or by hash where a `fraction` is given.

    Validation is where the hash of the group is below `fraction`; neither side stays empty where there
    are two examples. Raises `DataError` if none is left.
    """
    count = len(ids)
    if fraction is not None:
        held_out = _held_out(path, ids, fraction, group)
        ids = [name for name in ids if (name in held_out) == (split == "validation")]
    if not ids:
        raise DataError(
            f"{path}: the part {split!r} is empty, of {count} usable "
            "examples in all; it needs at least one"
        )
    return ids


def _held_out(
    path: Path, ids: list[str], fraction: float, group: Callable[[str], str]
) -> set[str]:
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
    held_out = {name for name in ids if group(name) in validation}
    if len(groups) < len(ids):
        say_once(
            f"{path}: held out for validation {len(held_out)} of {len(ids)} examples, kept together by "
            f"folder or name: {len(validation)} of {len(groups)} groups"
        )
    return held_out
