"""The two lists of ImageNet file names that FID-5k compares.

ColTran, and UViM after it, take the first 5,000 validation pictures and the third 5,000 in the
order in which TFDS reads its files by default: from 16 files at a time, 16 examples from each in
turn. That is another order than by position.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uvim_fsq.data.tfds.source import TfdsSource
from uvim_fsq.errors import DataError
from uvim_fsq.files import write_text
from uvim_fsq.types import Int

LIST_NAMES = ("eval_file_names.txt", "reference_file_names.txt")
"""Pictures to colour, and pictures to compare their colours with."""

_CYCLE = _BLOCK = 16
_PICTURES, _FILES = 50_000, 64


def write_lists(
    output: str | Path, data_dir: str | Path | None = None, count: int = 5_000
) -> tuple[Path, Path]:
    """Write both lists, one name in each line, into the folder `output`; returns their paths.

    `count` is the length of each. Lists that are there and the same are left; raises `DataError`
    if they are others, or ImageNet is not prepared or has fewer than `3 * count` pictures.
    """
    if count < 1:
        raise DataError(f"expected a count of at least 1, got {count}")
    source = TfdsSource("imagenet2012", data_dir, split="validation")
    if len(source) < 3 * count:
        raise DataError(
            f"two lists of {count:,} names, the first and the third, need {3 * count:,} "
            f"validation pictures, found {len(source):,}: prepare all of ImageNet, or ask for "
            "fewer with --count (the result is then not FID-5k)"
        )
    lengths = source.file_lengths
    if len(source) == _PICTURES:
        # However these files are cut, the published ones are 64.
        ends = [round(_PICTURES * n / _FILES) for n in range(_FILES + 1)]
        lengths = np.diff(ends).tolist()
    order = interleaved_order(lengths).tolist()
    folder = Path(output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    first, third = (folder / name for name in LIST_NAMES)
    _write(first, [source.file_name(i) for i in order[:count]])
    _write(third, [source.file_name(i) for i in order[2 * count : 3 * count]])
    return first, third


def interleaved_order(lengths: Sequence[int]) -> Int[np.ndarray, "n"]:
    """Positions in the order that TFDS reads them in by default, for files of these lengths.

    Slots for 16 files take turns of 16 examples. A file that ends within its turn ends the turn, and
    the next file starts when the slot's turn comes again.

    >>> interleaved_order([2, 3]).tolist()
    [0, 1, 2, 3, 4]
    """
    ends = np.cumsum(lengths).tolist()
    files = iter(zip([0, *ends], ends, strict=False))
    slots: list[tuple[int, int] | None] = [None] * _CYCLE
    order: list[int] = []
    turn = 0
    while len(order) < (ends[-1] if ends else 0):
        place = slots[turn] or next(files, None)
        if place is not None:
            start, end = place
            stop = min(start + _BLOCK, end)
            order.extend(range(start, stop))
            # After a whole turn a file is not known to have ended, even if nothing is left.
            slots[turn] = (stop, end) if stop - start == _BLOCK else None
        turn = (turn + 1) % _CYCLE
    return np.asarray(order, np.int64)


def _write(path: Path, names: Sequence[str]) -> None:
    text = "".join(f"{name}\n" for name in names)
    if path.exists():
        if path.read_text("utf-8") == text:
            return
        raise DataError(
            f"{path} exists with other names and is not overwritten: remove it, or choose "
            "another folder"
        )
    write_text(path, text)
