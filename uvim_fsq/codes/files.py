"""The files that guiding codes are kept in."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from uvim_fsq.evaluators.codebook import CodebookEvaluator, UsedCodewords
from uvim_fsq.files import temporary
from uvim_fsq.types import Float, Int


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yields a folder to write into, which takes its name once all is well; else it is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = temporary(folder)
    new.mkdir()
    try:
        yield new
        new.replace(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


class CodeFiles:
    """`indices.npy`, `ids.txt` and, with stage II, `bits.npy`, written batch by batch.

    However many pictures there are, memory holds a batch of codes, the counts of those codewords
    that occur, and the bits.

    Attributes:
      used: how often each index was added.
      bits: (N) float32, the compression cost of each picture's code; None without stage II.
    """

    def __init__(
        self,
        folder: Path,
        pictures: int,
        code_length: int,
        codebook_size: int,
        *,
        with_bits: bool,
    ):
        self.folder = folder
        self._evaluator = CodebookEvaluator(codebook_size)
        self._indices = _reserved(
            folder / "indices.npy",
            np.min_scalar_type(codebook_size - 1),
            (pictures, code_length),
        )
        self._ids = open(
            folder / "ids.txt", "w", encoding="utf-8", errors="surrogateescape"
        )
        self.used = UsedCodewords(codebook_size)
        self.bits = np.empty(pictures, np.float32) if with_bits else None
        self._row = 0

    def add(
        self,
        ids: Sequence[str],
        indices: Int[np.ndarray, "b n"],
        log_probs: Float[np.ndarray, "b n"] | None,
    ) -> None:
        """The next pictures' ids, codes and, in nats, log-probabilities under stage II."""
        rows = slice(self._row, self._row + len(ids))
        self._indices[rows] = indices
        self.used.add(indices)
        self._ids.writelines(f"{id_line(name)}\n" for name in ids)
        if self.bits is not None and log_probs is not None:
            self.bits[rows] = [
                self._evaluator.update({"indices": code, "log_probs": own})["bits"]
                for code, own in zip(indices, log_probs, strict=True)
            ]
        self._row = rows.stop

    def close(self) -> None:
        """Writes what is still in memory."""
        assert self._row == len(self._indices)
        self._indices.flush()
        self._ids.close()
        # A file with holes where nothing is counted, for a codebook may be large.
        histogram = np.lib.format.open_memmap(
            self.folder / "histogram.npy",
            mode="w+",
            dtype=np.int64,
            shape=(self.used.codebook_size,),
        )
        histogram[self.used.indices] = self.used.counts
        histogram.flush()
        if self.bits is not None:
            np.save(self.folder / "bits.npy", self.bits)


def _reserved(path: Path, dtype: np.dtype, shape: tuple[int, int]) -> np.memmap:
    """An array in a file that has its place on the disk.

    Raises:
      OSError: if the disk is too full for it.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    # Without it, a disk that fills up later ends the process by SIGBUS.
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def id_line(name: str) -> str:
    r"""An id as a line of `ids.txt`: itself; with a line break or a backslash, in Python's escapes.

    `line.encode("latin1").decode("unicode_escape")` brings those back that hold a backslash.

    >>> id_line("Küche/0001"), id_line("two\nlines")
    ('Küche/0001', 'two\\nlines')
    """
    if "\\" not in name and name.splitlines() == [name]:
        return name
    return name.encode("unicode_escape").decode("ascii")
