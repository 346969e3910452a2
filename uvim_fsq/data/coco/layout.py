"""Where the files of a folder in COCO's panoptic format are."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from uvim_fsq.data.parts import Split, contents, find_parts
from uvim_fsq.errors import DataError

_log = logging.getLogger(__name__)

_OFFICIAL_NAMES = {"train": ("train2017",), "validation": ("val2017",)}
LAYOUT = (
    "images/, panoptic/ and panoptic.json, here or in train/ and validation/, or COCO's "
    "annotations/panoptic_train2017.json, annotations/panoptic_train2017/ and train2017/"
)


class Part(NamedTuple):
    """Where the files of a part are; `prefix` stands before its ids."""

    prefix: str
    pictures: Path
    panoptic: Path
    index: Path


class ListedFiles:
    """The files of a folder by the names that a JSON lists, all of them `listed`.

    Sets are converted without their JSON: a file that is not there may be there once under another
    of the `suffixes`, unless the JSON lists that one too.
    """

    def __init__(self, folder: Path, listed: Iterable[str], suffixes: Sequence[str]):
        self._folder = folder
        self._listed = frozenset(listed)
        self._suffixes = suffixes
        self._renamed: list[str] = []

    def find(self, name: str) -> Path:
        """The path of a file; as it is listed where no such is there."""
        path = self._folder / name
        if path.is_file():
            return path
        stem = name.removesuffix(path.suffix)
        others = [stem + suffix for suffix in self._suffixes]
        others += [stem + suffix.upper() for suffix in self._suffixes]
        found = [
            other
            for other in others
            if other not in self._listed and (self._folder / other).is_file()
        ]
        if len(found) != 1:
            return path
        self._renamed.append(f"{found[0]} for {name}")
        return self._folder / found[0]

    def say_renamed(self) -> None:
        """Warn of the files that were found under another ending."""
        if self._renamed:
            _log.warning(
                "%s: took %d files of another ending than the JSON names, such as %s",
                *(self._folder, len(self._renamed), self._renamed[0]),
            )


def find_coco_parts(path: Path, split: Split) -> tuple[list[Part], bool]:
    """The parts that hold the split, and whether it must be made by hashing."""
    if (path / "panoptic.json").is_file():
        return [_own_part(path, "")], split != "all"
    folders, hashed = find_parts(path, split, _is_official, _OFFICIAL_NAMES)
    if folders != [path]:
        return [_official_part(folder) for folder in folders], hashed
    folders, hashed = find_parts(path, split, lambda p: (p / "panoptic.json").is_file())
    if folders == [path]:
        raise DataError(f"{path}: expected {LAYOUT}, found {contents(path)}")
    return [_own_part(folder, f"{folder.name}/") for folder in folders], hashed


def _own_part(folder: Path, prefix: str) -> Part:
    for name in ("images", "panoptic"):
        if not (folder / name).is_dir():
            raise DataError(f"{folder} has panoptic.json but no {name}/ beside it")
    return Part(
        prefix, folder / "images", folder / "panoptic", folder / "panoptic.json"
    )


def _official_index(folder: Path) -> Path:
    return folder.parent / "annotations" / f"panoptic_{folder.name}.json"


def _is_official(folder: Path) -> bool:
    # COCO's annotations of both parts come together, so the pictures tell which part is there.
    return folder.is_dir() and _official_index(folder).is_file()


def _official_part(folder: Path) -> Part:
    index = _official_index(folder)
    panoptic = index.with_suffix("")
    if not panoptic.is_dir():
        packed = panoptic.with_suffix(".zip")
        advice = (
            f"unpack {packed.name} there" if packed.is_file() else "put its PNGs there"
        )
        raise DataError(f"{index} has no {panoptic.name}/ beside it: {advice}")
    return Part(f"{folder.name}/", folder, panoptic, index)
