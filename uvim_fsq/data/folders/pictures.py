"""Folders of pictures without labels, for colorization."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from uvim_fsq.data.fingerprint import file_sizes
from uvim_fsq.data.folders.parts import (
    Split,
    SplitBy,
    check_folder,
    check_split,
    choose_ids,
    contents,
    find_parts,
    folder_of,
    refuse,
    report,
    say_beside,
    say_deeper_parts,
)
from uvim_fsq.data.folders.scan import (
    Files,
    cache_directory,
    cache_name,
    files_fingerprint,
    scan,
)
from uvim_fsq.data.images import PICTURE_SUFFIXES, read_image
from uvim_fsq.data.listing import list_files, say_once
from uvim_fsq.errors import DataError
from uvim_fsq.files import name_problem
from uvim_fsq.types import Category, UInt8

GREY_LEVELS = 8
"""Up to this difference between the channels, in all pixels, a picture counts as grey.

Grey JPEGs decode to differences of 0 to 3 levels; the palest of 306 colour photographs reaches 34.
A toned picture, such as sepia, is not grey.
"""

_LAYOUT = "pictures anywhere below it, or in its parts train/ and validation/"


class PictureFolder:
    """Pictures anywhere below a folder; what they show is the label, as in colorization.

    The folder may have the parts `train/` and `validation/` (or `val/`, `test/`); what lies beside
    them is not read then. Without a validation part, a picture goes to validation if a hash of
    its id falls below `validation_fraction`, as for `RgbdFolder`; with `split_by="folder"` the pictures
    of a folder stay together, as frames of a film should, and pictures by classes should not.

    `file_list` is a text file with one path below the folder in each line. These pictures are
    taken, in its order and from whatever part: the list takes the place of the split.

    Grey pictures, whose channels differ by `GREY_LEVELS` at most in every pixel, teach that the world
    has no colour: `skip_grey` leaves them out and names their ids in `grey`.

    At construction every picture is decoded once, which is remembered below `cache_dir`; what
    is wrong is one `DataError`, or with `skip_broken` left out and named in `skipped`.

    Example: `PictureFolder("holiday", "validation")[0]["image"].shape`. All pictures of a list, as a
    score needs them: `PictureFolder("imagenet/val", file_list="fid.txt", skip_grey=False)`.
    """

    def __init__(
        self,
        path: str | Path,
        split: Split = "train",
        validation_fraction: float = 0.1,
        file_list: str | Path | None = None,
        skip_grey: bool = True,
        skip_broken: bool = False,
        cache_dir: str | Path | None = None,
        split_by: SplitBy = "file",
    ):
        self.path = Path(path).expanduser()
        check_split(split)
        check_folder(self.path, _LAYOUT)
        problems: list[str] = []
        if file_list is None:
            self._files, hashed = _find_pictures(self.path, split, problems)
        else:
            listed = _listed_pictures(self.path, Path(file_list).expanduser())
            self._files, hashed = listed, False
        cache_file = cache_directory(cache_dir) / cache_name("pictures", self.path)
        colours, broken = scan(self._files, _check_picture, cache_file)
        self.skipped: list[str] = [*problems, *broken.values()]
        """One sentence for each picture that cannot be used and was left out."""
        count = len(self._files) + len(problems)
        report(self.path, self.skipped, count, skip_broken)
        self.grey = _leave_out_grey(self.path, colours) if skip_grey else []
        """The ids of the pictures that were left out because they are grey."""
        fraction = validation_fraction if hashed else None
        if hashed:
            say_deeper_parts(self.path, self._files)
        group = folder_of if split_by == "folder" else self._without_ending
        self._ids = choose_ids(self.path, list(colours), split, fraction, group)

    @property
    def categories(self) -> tuple[Category, ...]:
        """None: colours have no classes."""
        return ()

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image` uint8 (h w 3) and `id`."""
        name = self._ids[index]
        return {"image": read_image(self._files[name][0]), "id": name}

    def reference(self, index: int) -> dict[str, Any]:
        """The example, which has its original size, and its `size` (height, width)."""
        example = self[index]
        return {**example, "size": example["image"].shape[:2]}

    def image_file(self, index: int) -> Path:
        """The file of the picture, so that packing can copy it as it is."""
        return self._files[self._ids[index]][0]

    def fingerprint(self) -> str:
        """Differs where the files do."""
        return files_fingerprint({n: self._files[n] for n in self._ids})

    def example_id(self, index: int) -> str:
        """The picture's path below the folder without its ending, as `train/cat/0002`.

        Two pictures that differ in their endings alone keep these, and the same side of the split.
        """
        return self._ids[index]

    def stamp(self, index: int) -> tuple[str, str]:
        """Its id, and the size of its file."""
        name = self._ids[index]
        return name, file_sizes(self._files[name])

    def _without_ending(self, name: str) -> str:
        suffix = self._files[name][0].suffix
        return name.removesuffix(suffix) if name.endswith(suffix) else name


def colour_levels(image: UInt8[np.ndarray, "h w 3"]) -> int:
    """The largest difference between two channels of a pixel, 0 to 255.

    >>> colour_levels(np.array([[[9, 9, 9], [200, 190, 210]]], np.uint8))
    20
    """
    return int((image.max(axis=2) - image.min(axis=2)).max())


def _find_pictures(
    path: Path, split: Split, problems: list[str]
) -> tuple[dict[str, Files], bool]:
    """The pictures by id, and whether the split must be made by hashing."""
    parts, hashed = find_parts(path, split)
    say_beside(path)
    files: dict[str, Files] = {}
    for part in parts:
        listing = list_files(part, PICTURE_SUFFIXES)
        listing.say()
        problems += listing.problems
        if not listing.files:
            raise DataError(
                f"{part} holds no pictures ({', '.join(PICTURE_SUFFIXES)}), only "
                f"{contents(part)}"
            )
        prefix = "" if part == path else f"{part.name}/"
        files |= _by_id(listing.files, prefix)
    return files, hashed


def _by_id(pictures: Mapping[PurePosixPath, Path], prefix: str) -> dict[str, Files]:
    """The files by id: the path without the ending, or with it where another has the same."""
    names = {below: below.with_suffix("").as_posix() for below in pictures}
    shared = Counter(names.values())
    return {
        prefix + (name if shared[name] == 1 else below.as_posix()): (pictures[below],)
        for below, name in names.items()
    }


def _listed_pictures(path: Path, file_list: Path) -> dict[str, Files]:
    """The pictures that a list names, by id, in its order; all that is wrong in one error."""
    try:
        lines = file_list.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"{file_list}: the list cannot be read: {reason}") from error
    files: dict[PurePosixPath, Path] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name = PurePosixPath(line.strip())
        problem = name_problem(line.strip()) or ""
        if problem:
            problem = f"expected a path below {path}, but {problem}"
        elif not (path / name).is_file():
            problem = f"there is no such file below {path}"
        elif name in files:
            problem = "the list has this name already"
        if problem:
            problems.append(f"line {number}, {line.strip()}: {problem}")
        files.setdefault(name, path / name)
    if not files:
        raise DataError(f"{file_list}: expected one path in each line, found none")
    # A score on a list counts only for all of it: nothing can be left out.
    refuse(file_list, problems, f"of {len(lines)} lines are wrong; mend the list")
    return _by_id(files, "")


def _check_picture(files: Files) -> tuple[int, int]:
    """What the scan remembers of a picture: its colour levels (and a 0 for the second place)."""
    return colour_levels(read_image(files[0])), 0


def _leave_out_grey(path: Path, colours: dict[str, tuple[int, int]]) -> list[str]:
    """The ids of the grey pictures, taken out of `colours`."""
    count = len(colours)
    grey = [name for name, (levels, _) in colours.items() if levels <= GREY_LEVELS]
    for name in grey:
        del colours[name]
    if grey:
        say_once(f"{path}: left out {len(grey)} of {count} pictures that are grey")
    if grey and not colours:
        raise DataError(
            f"{path}: all {count} pictures are grey; colorization needs colours to learn "
            "from, so choose another folder"
        )
    return grey
