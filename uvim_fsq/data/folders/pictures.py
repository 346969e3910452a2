"""Folders of pictures without labels, for colorization."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from uvim_fsq.data.folder_source import ImageFileSource
from uvim_fsq.data.images import PICTURE_SUFFIXES, read_image
from uvim_fsq.data.listing import say_once
from uvim_fsq.data.parts import Split, SplitBy, contents, folder_of, say_deeper_parts
from uvim_fsq.data.scan import Files
from uvim_fsq.errors import DataError
from uvim_fsq.types import UInt8

GREY_LEVELS = 8
"""Up to this difference between the channels, in all pixels, a picture counts as grey.

Grey JPEGs decode to differences of 0 to 3 levels; the palest of 306 colour photographs reaches 34.
A toned picture, such as sepia, is not grey.
"""


class PictureFolder(ImageFileSource):
    """Pictures anywhere below a folder; what they show is the label, as in colorization.

    Parts, splits and broken files are as of `FolderSource`. With `split_by="folder"` the pictures
    of a folder stay together, as frames of a film should, and pictures by classes should not.

    Grey pictures, whose channels differ by `GREY_LEVELS` at most in every pixel, teach that the world
    has no colour: `skip_grey` leaves them out and names their ids in `grey`.

    Example: `PictureFolder("holiday", "validation")[0]["image"].shape`.
    """

    kind = "pictures"
    layout = "pictures anywhere below it, or in its parts train/ and validation/"

    def __init__(
        self,
        path: str | Path,
        split: Split = "train",
        validation_fraction: float = 0.1,
        skip_grey: bool = True,
        skip_broken: bool = False,
        cache_dir: str | Path | None = None,
        split_by: SplitBy = "file",
    ):
        self._skip_grey = skip_grey
        self._split_by = split_by
        self.grey: list[str] = []
        """The ids of the pictures that were left out because they are grey."""
        super().__init__(path, split, validation_fraction, skip_broken, cache_dir)

    def _find(self, split: Split) -> bool:
        parts, hashed = self._parts(split)
        for prefix, part in parts:
            pictures = dict(self._list(part, PICTURE_SUFFIXES))
            if not pictures:
                raise DataError(
                    f"{part} holds no pictures ({', '.join(PICTURE_SUFFIXES)}), only "
                    f"{contents(part)}"
                )
            self._files |= _by_id(pictures, prefix)
        if hashed:
            say_deeper_parts(self.path, self._files)
        return hashed

    def _read(self, name: str) -> dict[str, Any]:
        return {"image": read_image(self._files[name][0])}

    def _check(self, name: str) -> tuple[int, int]:
        """Its colour levels, and a 0 for the second place."""
        return colour_levels(read_image(self._files[name][0])), 0

    def _usable(self) -> list[str]:
        if self._skip_grey:
            levels = self._found.items()
            self.grey = [name for name, (most, _) in levels if most <= GREY_LEVELS]
        count = len(self._found)
        if self.grey:
            say_once(
                f"{self.path}: left out {len(self.grey)} of {count} pictures that are grey"
            )
        if self.grey and len(self.grey) == count:
            raise DataError(
                f"{self.path}: all {count} pictures are grey; colorization needs colours to learn "
                "from, so choose another folder"
            )
        grey = frozenset(self.grey)
        return [name for name in self._found if name not in grey]

    def _group(self, name: str) -> str:
        """Pictures that differ in their endings alone, whose ids keep these, stay together too."""
        if self._split_by == "folder":
            return folder_of(name)
        return name.removesuffix(self._files[name][0].suffix)


def colour_levels(image: UInt8[np.ndarray, "h w 3"]) -> int:
    """The largest difference between two channels of a pixel, 0 to 255.

    >>> colour_levels(np.array([[[9, 9, 9], [200, 190, 210]]], np.uint8))
    20
    """
    return int((image.max(axis=2) - image.min(axis=2)).max())


def _by_id(pictures: Mapping[PurePosixPath, Path], prefix: str) -> dict[str, Files]:
    """The files by id: the path without the ending, or with it where another has the same."""
    names = {below: below.with_suffix("").as_posix() for below in pictures}
    shared = Counter(names.values())
    return {
        prefix + (name if shared[name] == 1 else below.as_posix()): (pictures[below],)
        for below, name in names.items()
    }
