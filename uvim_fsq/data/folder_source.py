"""What the sources that read a folder have in common."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from uvim_fsq.data.fingerprint import file_sizes
from uvim_fsq.data.listing import list_files
from uvim_fsq.data.parts import (
    Split,
    check_folder,
    check_split,
    choose_ids,
    find_parts,
    report,
    say_beside,
)
from uvim_fsq.data.scan import (
    Files,
    cache_directory,
    cache_name,
    files_fingerprint,
    scan,
)
from uvim_fsq.types import Category


class FolderSource:
    """Examples whose files lie in a folder: found, looked at once, split, and read by id.

    The folder may have the parts `train/` and `validation/` (or another name of `PART_NAMES`). Without a
    validation part, an example goes to validation if a hash of its group, which is its id or its folder,
    falls below `validation_fraction`: the same on every machine, and none changes sides when others are
    added. `split="all"` takes every example of every part.

    At construction every example is decoded once, which is remembered below `cache_dir` (default:
    the environment variable UVIM_FSQ_CACHE, or `~/.cache/uvim_fsq`) until a file changes. All that
    is wrong is named in one `DataError`; with `skip_broken` those examples are left out instead
    and named in `skipped`.

    A kind of folder finds its files (`_find`) and reads an example (`_read`); the image's file, where it
    has one, is the first.
    """

    kind: ClassVar[str]
    """Of the file that remembers what was looked at."""
    layout: ClassVar[str]
    """What the folder should hold, for messages."""
    categories: tuple[Category, ...] = ()
    """The classes of panoptic labels; none of other ones."""

    def __init__(
        self,
        path: str | Path,
        split: Split = "train",
        validation_fraction: float = 0.1,
        skip_broken: bool = False,
        cache_dir: str | Path | None = None,
    ):
        check_split(split)
        self.path = Path(path).expanduser()
        check_folder(self.path, self.layout)
        self.skipped: list[str] = []
        """One sentence for each example that was left out because something is wrong."""
        self._files: dict[str, Files] = {}
        hashed = self._find(split)
        count = len(self._files) + len(self.skipped)
        cache_file = cache_directory(cache_dir) / cache_name(self.kind, self.path)
        self._found, broken = scan(self._files, self._check, cache_file)
        self.skipped += broken.values()
        report(self.path, self.skipped, count, skip_broken)
        fraction = validation_fraction if hashed else None
        ids = self._usable()
        self._ids = choose_ids(self.path, ids, split, fraction, self._group)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image` uint8 (h w 3), `id`, and the labels, see `uvim_fsq.types.Example`."""
        name = self._ids[index]
        return {**self._read(name), "id": name}

    def reference(self, index: int) -> dict[str, Any]:
        """The example, which has its original size, and its `size` (height, width)."""
        example = self[index]
        return {**example, "size": example["image"].shape[:2]}

    def fingerprint(self) -> str:
        """Differs where the files do, or what they are read with."""
        files = {name: self._files[name] for name in self._ids}
        return files_fingerprint(files, *self._read_with())

    def example_id(self, index: int) -> str:
        """The path below the folder without what says which kind of file it is: `train/cat/0002`."""
        return self._ids[index]

    def stamp(self, index: int) -> tuple[str, str]:
        """Its id, and the sizes of its files."""
        name = self._ids[index]
        return name, file_sizes(self._files[name])

    def _find(self, split: Split) -> bool:
        """Fills `_files`, and `skipped` with problems; returns whether to split by hashing."""
        raise NotImplementedError

    def _read(self, name: str) -> dict[str, Any]:
        """The example of an id."""
        raise NotImplementedError

    def _check(self, name: str) -> tuple[int, int]:
        """Two numbers to remember of a good example; `DataError` for others."""
        height, width = self._read(name)["image"].shape[:2]
        return height, width

    def _usable(self) -> list[str]:
        """The ids to choose from, of those that are good."""
        return list(self._found)

    def _group(self, name: str) -> str:
        """What stays on one side of the split."""
        return name

    def _read_with(self) -> tuple[Any, ...]:
        """Settings that change what is read."""
        return ()

    def _parts(self, split: Split) -> tuple[list[tuple[str, Path]], bool]:
        """The parts that hold the split, each after what stands before its ids; see `find_parts`."""
        parts, hashed = find_parts(self.path, split)
        say_beside(self.path)
        prefixes = ("" if part == self.path else f"{part.name}/" for part in parts)
        return list(zip(prefixes, parts, strict=True)), hashed

    def _list(
        self, part: Path, suffixes: tuple[str, ...]
    ) -> Iterator[tuple[PurePosixPath, Path]]:
        """The files of a part, by their path below it; problems go to `skipped`."""
        listing = list_files(part, suffixes)
        listing.say()
        self.skipped += listing.problems
        yield from listing.files.items()


class ImageFileSource(FolderSource):
    """A `FolderSource` whose examples have their image in a file of its own."""

    def image_file(self, index: int) -> Path:
        """The file of the image, so that packing can copy it as it is."""
        return self._files[self._ids[index]][0]
