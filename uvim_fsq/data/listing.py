"""The files below a folder: links followed, what is passed by counted aloud.

Every source that reads folders lists them here. Folders that are links are entered after all others, and
every real folder once: so loops end, and a link adds files without renaming any that lie there in person.
"""

import functools
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from uvim_fsq.data.images import HEIF_SUFFIXES, PICTURE_SUFFIXES

_log = logging.getLogger(__name__)

_JUNK = ("thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "@eadir", "lost+found")
"""What systems leave in folders, by name in lower case; hidden like what begins with a dot."""

_KINDS_SHOWN = 8
_LONGEST_PATH = 1024


@dataclass(frozen=True)
class Listing:
    """The files below a folder that were asked for, and what was passed by.

    Attributes:
      folder: where they lie.
      files: the files by their path below the folder, with `/` and composed letters, sorted.
      passed: how many files of which kind were passed by.
      problems: sentences on what could not be looked at.
    """

    folder: Path
    files: dict[PurePosixPath, Path]
    passed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def say(self) -> None:
        """Log what was passed by, once."""
        if self.passed:
            say_once(f"{self.folder}: passed by {counted(self.passed)}")


def list_files(folder: Path, suffixes: Iterable[str]) -> Listing:
    """The files at any depth below a folder that have one of the endings (in lower case).

    Hidden files and folders, and what systems leave behind, count as passed by, like other kinds.
    """
    suffixes = frozenset(suffixes)
    found: list[tuple[PurePosixPath, Path]] = []
    listing = Listing(folder, {})
    for below, path in _walk(folder, listing):
        kind = _kind(path, suffixes)
        if kind is None:
            found.append((below, path))
        else:
            listing.passed[kind] += 1
    taken = {below for below, _ in found}
    # By parts: the order of paths, in a third of the time.
    for below, path in sorted(found, key=lambda pair: pair[0].parts):
        name = composed(below)
        # Where a folder has a name in both spellings, each keeps its own.
        listing.files[below if name in taken else name] = path
    return listing


def composed(path: PurePosixPath) -> PurePosixPath:
    """The path in composed letters (NFC), which macOS takes apart: one name, one spelling."""
    text = str(path)
    return path if text.isascii() else PurePosixPath(unicodedata.normalize("NFC", text))


def counted(kinds: Counter[str]) -> str:
    """How many of which kind, the most frequent first: "3 files: 2 .txt, 1 hidden"."""
    total = kinds.total()
    shown = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(_KINDS_SHOWN))
    more = ", ..." if len(kinds) > _KINDS_SHOWN else ""
    return f"{total} {'entry' if total == 1 else 'entries'}: {shown}{more}"


def first_names(names: Iterable[Any], count: int) -> str:
    """The first names, for messages, and dots where there are more.

    >>> first_names([1, 2, 3], 2)
    '1, 2, ...'
    """
    names = list(names)
    return ", ".join(map(str, names[:count])) + ", ..." * (len(names) > count)


@functools.lru_cache(maxsize=1000)
def say_once(text: str) -> None:
    """A warning; the parts of one folder, opened one after the other, say it once."""
    _log.warning("%s", text)


def _walk(folder: Path, listing: Listing) -> Iterator[tuple[PurePosixPath, Path]]:
    """Every visible file, with its path below the folder; folders that are links come last."""
    waiting = [(PurePosixPath(), folder)]
    links: list[tuple[PurePosixPath, Path]] = []
    entered: set[tuple[int, int]] = set()
    while waiting or links:
        if not waiting:
            links.sort(key=lambda pair: pair[0].parts, reverse=True)
            waiting.append(links.pop())
        below, here = waiting.pop()
        try:
            stat = here.stat()
            if (stat.st_dev, stat.st_ino) in entered:
                listing.passed["folders linked a second time"] += 1
                continue
            entered.add((stat.st_dev, stat.st_ino))
            entries = list(os.scandir(here))
        except OSError as error:
            listing.problems.append(f"{here}: cannot be looked into: {error.strerror}")
            continue
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name.lower() in _JUNK:
                listing.passed["hidden, or left by the system"] += 1
            elif target := lost_folder(Path(entry.path)):
                listing.passed["links that copying made text of: followed"] += 1
                links.append((below / name, target))
            elif not _is_text(name):
                listing.problems.append(
                    f"{here}: the name {os.fsencode(name)!r} is not UTF-8 text: rename it"
                )
            elif not _is_folder(entry):
                yield below / name, Path(entry.path)
            elif entry.is_symlink():
                links.append((below / name, Path(entry.path)))
            else:
                waiting.append((below / name, Path(entry.path)))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_text(name: str) -> bool:
    """Whether a name can be written down: some systems take any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(path: Path, suffixes: frozenset[str]) -> str | None:
    """What to count a file as; None for those that are asked for."""
    suffix = path.suffix.lower()
    if suffix in suffixes:
        return None
    if suffix in HEIF_SUFFIXES and suffix not in PICTURE_SUFFIXES:
        return f"{suffix} (pip install pillow-heif to read them)"
    if suffix:
        return suffix
    if path.is_symlink() and not path.exists():
        return "links to nowhere"
    return "without an ending"


def lost_folder(path: Path) -> Path | None:
    """The folder that a link led to which became a text file in copying; None for other files.

    Archives and checkouts without links leave such files, which hold a path and nothing else.
    """
    if path.suffix or not path.is_file() or path.stat().st_size > _LONGEST_PATH:
        return None
    try:
        target = path.parent / path.read_text("utf-8").strip()
        return target if target != path.parent and target.is_dir() else None
    except (OSError, ValueError):
        return None
