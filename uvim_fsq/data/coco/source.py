"""Folders of pictures with panoptic labels in COCO's format."""

import gc
import logging
import os
import weakref
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from uvim_fsq.data.coco.format import CocoIndex, read_index
from uvim_fsq.data.coco.layout import LAYOUT, ListedFiles, Part, find_coco_parts
from uvim_fsq.data.coco.png import read_ids
from uvim_fsq.data.fingerprint import file_sizes
from uvim_fsq.data.folder_source import ImageFileSource
from uvim_fsq.data.images import PICTURE_SUFFIXES, read_oriented
from uvim_fsq.data.listing import first_names
from uvim_fsq.data.orientation import swaps_sides, turn_along
from uvim_fsq.data.parts import Split
from uvim_fsq.data.segments import Segment, check_ids, count_pixels, with_areas
from uvim_fsq.errors import BrokenFileError, DataError

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    """What the JSON says of one picture."""

    size: tuple[int, int]
    segments: list[Segment]


class CocoPanopticFolder(ImageFileSource):
    """Pictures in `images/`, PNGs of segment ids in `panoptic/`, and `panoptic.json`, in COCO's format.

    The categories are whatever the JSON lists. The folder may have the parts `train/` and
    `validation/` (or `val/`, `test/`) with these three in each, or be COCO's own:
    `annotations/panoptic_train2017.json`, the PNGs in `annotations/panoptic_train2017/`, the pictures
    in `train2017/`, and the same with `val2017`. The parts must have the same categories. Splits and
    broken files are as of `FolderSource`.

    Pictures that the JSON lists without an annotation are not used, and named in `unlabelled`; files
    that it does not list are not looked at. Crowd segments stay, with `iscrowd` 1.

    Every picture and PNG is compared with the JSON. A JSON that is wrong as a whole, or in its
    categories, always raises. Segments without `area` get that of the PNG, and a stated one must be
    that of the PNG. Where the picture's file says that it is to be turned (EXIF), the PNG is turned
    along, see `turn_along`.

    Example: `CocoPanopticFolder("coco", "validation")[0]["segments"][0]["category_id"]`.
    """

    kind = "coco"
    layout = LAYOUT

    def stamp(self, index: int) -> tuple[str, str]:
        """Its id; the sizes of its files, and a hash of what the JSON says of its segments."""
        name = self._ids[index]
        segments = self._entries[name].segments
        kinds = [(s["id"], s["category_id"], s["iscrowd"]) for s in segments]
        sizes = file_sizes(self._files[name][:2])
        return name, f"{sizes} {crc32(repr(kinds).encode())}"

    def _find(self, split: Split) -> bool:
        parts, hashed = find_coco_parts(self.path, split)
        # Held, so that other sources of the same folder can share them.
        self._indexes = [_read_once(part.index) for part in parts]
        self.categories = self._indexes[0].categories
        if split != "validation":
            _compare_categories(find_coco_parts(self.path, "all")[0])
        self._entries: dict[str, _Entry] = {}
        self.unlabelled: list[str] = []
        """The ids of the pictures that the JSON lists without an annotation."""
        for part, index in zip(parts, self._indexes, strict=True):
            self._add(part, index)
        if self.unlabelled:
            known = len(self._entries) + len(self.skipped) + len(self.unlabelled)
            _log.warning(
                "%s: left out %d of %d pictures that have no annotation",
                *(self.path, len(self.unlabelled), known),
            )
        return hashed

    def _read(self, name: str) -> dict[str, Any]:
        """`panoptic` is int32 (h w) of segment ids, and `segments` what the JSON says of them."""
        picture, panoptic, _ = self._files[name]
        image, number = read_oriented(picture)
        ids = turn_along(read_ids(panoptic), number, image.shape[:2])
        segments = [dict(segment) for segment in self._entries[name].segments]
        if any("area" not in segment for segment in segments):
            segments = with_areas(segments, count_pixels(ids), panoptic)
        return {"image": image, "panoptic": ids, "segments": segments}

    def _check(self, name: str) -> tuple[int, int]:
        picture, panoptic, index = self._files[name]
        entry = self._entries[name]
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

    def _add(self, part: Part, index: CocoIndex) -> None:
        """Take in what the JSON of a part lists."""
        self.skipped += [f"{part.index}: {each}" for each in index.problems.values()]
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
                self.skipped.append(
                    f"{part.index}: image {number!r}, {image.file_name}, has the name of "
                    "another image but for its ending: rename one"
                )
            elif annotation is None:
                self.unlabelled.append(name)
            else:
                picture = pictures.find(image.file_name)
                panoptic = labels.find(annotation.file_name)
                self._files[name] = (picture, panoptic, part.index)
                size = (image.height, image.width)
                self._entries[name] = _Entry(size, annotation.segments)
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
            raise DataError(
                f"{part.index}: expected the categories of {parts[0].index}, found "
                f"{len(differing)} that differ in id, name or isthing (ids {first_names(differing, 5)}); give both the "
                "same list"
            )
