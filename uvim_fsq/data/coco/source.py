"""Folders of pictures with panoptic labels in COCO's format."""

import gc
import logging
import os
import weakref
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from uvim_fsq.data.coco.annotations import Segment
from uvim_fsq.data.coco.format import CocoIndex, read_index
from uvim_fsq.data.coco.layout import LAYOUT, ListedFiles, Part, find_coco_parts
from uvim_fsq.data.coco.png import check_ids, count_pixels, read_ids, with_areas
from uvim_fsq.data.fingerprint import file_sizes
from uvim_fsq.data.folders.parts import (
    Split,
    check_folder,
    check_split,
    choose_ids,
    report,
)
from uvim_fsq.data.folders.scan import (
    Files,
    cache_directory,
    cache_name,
    files_fingerprint,
    scan,
)
from uvim_fsq.data.images import PICTURE_SUFFIXES, read_oriented
from uvim_fsq.data.orientation import swaps_sides, turn_along
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.types import Category

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    """One picture: its files (picture, PNG, JSON), and what the JSON says of it."""

    files: Files
    size: tuple[int, int]
    segments: list[Segment]


class CocoPanopticFolder:
    """Pictures in `images/`, PNGs of segment ids in `panoptic/`, and `panoptic.json`, in COCO's format.

    The categories are whatever the JSON lists. The folder may have the parts `train/` and
    `validation/` (or `val/`, `test/`) with these three in each, or be COCO's own:
    `annotations/panoptic_train2017.json`, the PNGs in `annotations/panoptic_train2017/`, the pictures
    in `train2017/`, and the same with `val2017`. The parts must have the same categories.
    Without a validation part, a picture goes to validation if a hash of its id falls below
    `validation_fraction`, as for `RgbdFolder`.

    Pictures that the JSON lists without an annotation are not used, and named in `unlabelled`; files
    that it does not list are not looked at. Crowd segments stay, with `iscrowd` 1.

    At construction every picture and PNG is decoded once and compared with the JSON, which is
    remembered below `cache_dir` until one of the three changes; what is wrong is one `DataError`, or
    with `skip_broken` left out and named in `skipped`; so are single images and annotations of the
    JSON. A JSON that is wrong as a whole, or in its categories, always raises. Segments without
    `area` get that of the PNG, and a stated one must be that of the PNG. Where the picture's file
    says that it is to be turned (EXIF), the PNG is turned along, see `turn_along`.

    Example: `CocoPanopticFolder("coco", "validation")[0]["segments"][0]["category_id"]`.
    """

    def __init__(
        self,
        path: str | Path,
        split: Split = "train",
        validation_fraction: float = 0.1,
        skip_broken: bool = False,
        cache_dir: str | Path | None = None,
    ):
        self.path = Path(path).expanduser()
        check_split(split)
        check_folder(self.path, LAYOUT)
        parts, hashed = find_coco_parts(self.path, split)
        # Held, so that other sources of the same folder can share them.
        self._indexes = [_read_once(part.index) for part in parts]
        if split != "validation":
            _compare_categories(find_coco_parts(self.path, "all")[0])
        problems: list[str] = []
        self._entries: dict[str, _Entry] = {}
        self.unlabelled: list[str] = []
        """The ids of the pictures that the JSON lists without an annotation."""
        for part, index in zip(parts, self._indexes, strict=True):
            self._add(part, index, problems)
        count = len(self._entries) + len(problems)
        if self.unlabelled:
            _log.warning(
                "%s: left out %d of %d pictures that have no annotation",
                *(self.path, len(self.unlabelled), count + len(self.unlabelled)),
            )
        by_picture = {entry.files[0]: entry for entry in self._entries.values()}
        self._sizes, broken = scan(
            {name: entry.files for name, entry in self._entries.items()},
            lambda files: _check(by_picture[files[0]]),
            cache_directory(cache_dir) / cache_name("coco", self.path),
        )
        self.skipped: list[str] = [*problems, *broken.values()]
        """One sentence for each picture that was left out because something is wrong."""
        report(self.path, self.skipped, count, skip_broken)
        fraction = validation_fraction if hashed else None
        self._ids = choose_ids(self.path, list(self._sizes), split, fraction)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes that the JSON lists, in its order."""
        return self._indexes[0].categories

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image` uint8 (h w 3), `panoptic` int32 (h w) of segment ids, `segments` and `id`."""
        entry = self._entries[self._ids[index]]
        image, number = read_oriented(entry.files[0])
        ids = turn_along(read_ids(entry.files[1]), number, image.shape[:2])
        segments = [dict(segment) for segment in entry.segments]
        if any("area" not in segment for segment in segments):
            segments = with_areas(segments, count_pixels(ids), entry.files[1])
        return {
            "image": image,
            "panoptic": ids,
            "segments": segments,
            "id": self._ids[index],
        }

    def reference(self, index: int) -> dict[str, Any]:
        """The example, which has its original size, and its `size` (height, width)."""
        return {**self[index], "size": self._sizes[self._ids[index]]}

    def image_file(self, index: int) -> Path:
        """The file of the picture, so that packing can copy it as it is."""
        return self._entries[self._ids[index]].files[0]

    def fingerprint(self) -> str:
        """Differs where the files do."""
        return files_fingerprint({n: self._entries[n].files for n in self._ids})

    def example_id(self, index: int) -> str:
        """The picture's file name without its ending, after its part, as `val2017/000000000139`."""
        return self._ids[index]

    def stamp(self, index: int) -> tuple[str, str]:
        """Its id; the sizes of its files, and a hash of what the JSON says of its segments."""
        name = self._ids[index]
        entry = self._entries[name]
        kinds = [(s["id"], s["category_id"], s["iscrowd"]) for s in entry.segments]
        return name, f"{file_sizes(entry.files[:2])} {crc32(repr(kinds).encode())}"

    def _add(self, part: Part, index: CocoIndex, problems: list[str]) -> None:
        """Take in what the JSON of a part lists."""
        problems += [f"{part.index}: {problem}" for problem in index.problems.values()]
        index.say_doubled(part.index)
        listed = [image.file_name for image in index.images.values()]
        pictures = ListedFiles(part.pictures, listed, PICTURE_SUFFIXES)
        listed = [entry.file_name for entry in index.annotations.values()]
        labels = ListedFiles(part.panoptic, listed, (".png",))
        names: set[str] = set()
        for number, image in index.images.items():
            name = part.prefix + os.path.splitext(image.file_name)[0]
            annotation = index.annotations.get(number)
            if name in names:
                problems.append(
                    f"{part.index}: image {number!r}, {image.file_name}, has the name of "
                    "another image but for its ending: rename one"
                )
            elif annotation is None:
                self.unlabelled.append(name)
            else:
                picture = pictures.find(image.file_name)
                panoptic = labels.find(annotation.file_name)
                self._entries[name] = _Entry(
                    (picture, panoptic, part.index),
                    (image.height, image.width),
                    annotation.segments,
                )
            names.add(name)
        for files in (pictures, labels):
            files.say_renamed()


_indexes_in_use: weakref.WeakValueDictionary[tuple, CocoIndex] = (
    weakref.WeakValueDictionary()
)


def _read_once(path: Path) -> CocoIndex:
    """Read a JSON unless a source holds it: COCO's takes seconds and hundreds of megabytes."""
    stat = path.stat()
    key = (path.resolve(), stat.st_size, stat.st_mtime_ns)
    index = _indexes_in_use.get(key)
    if index is None:
        # Looking for garbage among millions of new objects would double the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            index = _indexes_in_use[key] = read_index(path)
        finally:
            if collecting:
                gc.enable()
    return index


def _compare_categories(parts: list[Part]) -> None:
    """Raise `DataError` if two parts have categories that differ in more than colour."""
    lists = [
        {each.id: each[:3] for each in _read_once(part.index).categories}
        for part in parts
    ]
    for part, other in zip(parts[1:], lists[1:], strict=True):
        differing = sorted(
            number
            for number in lists[0].keys() | other.keys()
            if lists[0].get(number) != other.get(number)
        )
        if differing:
            shown = ", ".join(map(str, differing[:5])) + ", ..." * (len(differing) > 5)
            raise DataError(
                f"{part.index}: expected the categories of {parts[0].index}, found "
                f"{len(differing)} that differ in id, name or isthing (ids {shown}); give both the "
                "same list"
            )


def _check(entry: _Entry) -> tuple[int, int]:
    picture, panoptic, index = entry.files
    image, number = read_oriented(picture)
    height, width = image.shape[:2]
    stored = (width, height) if swaps_sides(number) else (height, width)
    if entry.size not in ((height, width), stored):
        rows, columns = entry.size
        raise BrokenFileError(
            picture,
            f"its size, {height} x {width}, is not that in {index.name}, {rows} x {columns} "
            "(height x width, after the orientation that the file states)",
        )
    ids = turn_along(read_ids(panoptic), number, (height, width))
    check_ids(ids, entry.segments, panoptic, (height, width))
    return height, width
