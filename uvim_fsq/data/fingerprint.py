"""What a set of examples is, wherever it lies: their names, and the sizes of what they hold.

Nothing is decoded: a source says of each example what it knows of it (`stamp`).
"""

import gzip
import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from uvim_fsq.data.base import Source
from uvim_fsq.data.listing import first_names
from uvim_fsq.files import write_whole

_THREADS = 16
"""Asking a network disk for a file's size is waiting."""
_LISTED = 3


@dataclass(frozen=True)
class Fingerprint:
    """A set of examples in their order.

    Attributes:
      lines: of each example what it holds, a tab, and its name.
    """

    lines: Sequence[str]

    @property
    def count(self) -> int:
        """Of the examples."""
        return len(self.lines)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits, the same for the same examples in the same order."""
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(_bytes(line) + b"\n")
        return digest.hexdigest()[:16]

    def difference(self, now: "Fingerprint") -> str:
        """How another set differs, in words; nothing if it is the same."""
        if self.digest == now.digest:
            return ""
        old, new = self._by_name(), now._by_name()
        kinds = {
            "missing": [name for name in old if name not in new],
            "new": [name for name in new if name not in old],
            "changed": [name for name in old if name in new and old[name] != new[name]],
        }
        parts = [
            f"{len(n)} {kind} ({first_names(n, _LISTED)})"
            for kind, n in kinds.items()
            if n
        ]
        found = ", ".join(parts) or "the same in another order"
        return f"{self.count:,} examples then and {now.count:,} now: {found}"

    def _by_name(self) -> dict[str, str]:
        pairs = (line.split("\t", 1) for line in self.lines)
        return {name: what for what, name in pairs}

    def write(self, path: Path) -> None:
        """Into a compressed file, which is the same for the same set."""
        data = b"".join(_bytes(line) + b"\n" for line in self.lines)
        write_whole(path, gzip.compress(data, compresslevel=5, mtime=0))


def read_fingerprint(path: Path) -> Fingerprint:
    """What `Fingerprint.write` wrote. Raises OSError, EOFError or zlib.error for a file that is not whole."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8", "surrogateescape")
    return Fingerprint(text.split("\n")[:-1])


def fingerprint(source: Source) -> Fingerprint:
    """Of all examples of a source."""
    chosen = range(len(source))
    stamp: Any = getattr(source, "stamp", lambda index: (source.example_id(index), ""))

    def lines(part: Sequence[int]) -> list[str]:
        pairs = (stamp(index) for index in part)
        return [f"{what}\t{_escaped(name)}" for name, what in pairs]

    # Some thousands at a time: a task for each would take longer than its work.
    parts = [chosen[first : first + 4096] for first in range(0, len(chosen), 4096)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return Fingerprint([line for part in pool.map(lines, parts) for line in part])


def file_sizes(files: Iterable[Path]) -> str:
    """The sizes of an example's files in bytes: what a `stamp` says of files."""
    return "+".join(str(file.stat().st_size) for file in files)


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
