"""Sizes of images, patches and codes of published checkpoints, whose arrays know only products."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from uvim_fsq.errors import ConfigError, WeightsError
from uvim_fsq.fields import Size
from uvim_fsq.weights.big_vision.shapes import Stage1Shape, Stage2Shape

PUBLISHED_CODE_LENGTH = 256


@dataclass(frozen=True)
class Hints:
    """What a person says of a checkpoint where its arrays leave it open; None: nothing."""

    image_size: Size | None = None
    patch_size: Size | None = None
    code_length: int | None = None


def patch_size(
    first: Stage1Shape, second: Stage2Shape | None, hints: Hints, names: Mapping
) -> Size:
    """Rows and columns of stage I's patches: those of its contexts, as said, or those of stage II
    where they have as many pixels, or else a square."""
    patch, said = first.patch_size, hints.patch_size
    if patch is None:
        patch = said
    if patch is None and second and math.prod(second.patch_size) == first.pixels:
        patch = second.patch_size
    side = math.isqrt(first.pixels)
    if patch is None and side * side == first.pixels:
        patch = (side, side)
    if patch is None or math.prod(patch) != first.pixels or said not in (None, patch):
        raise ConfigError(
            f"{names['stage1']} has patches of {_shown(patch) or f'{first.pixels} pixels'}: "
            f"expected --patch-size ROWS COLUMNS that fits, found {_shown(said) or 'none'}"
        )
    return patch


def image_size(
    first: Stage1Shape,
    second: Stage2Shape | None,
    patch: Size,
    hints: Hints,
    names: Mapping,
) -> Size:
    """Rows and columns of the image: as said, or the square that has as many patches."""
    grids = {"stage1": (first.grid, patch)}
    if second is not None:
        grids["stage2"] = (second.transformer.positions, second.patch_size)
    known = {stage: (n, p) for stage, (n, p) in grids.items() if n is not None}
    size = hints.image_size
    if size is None:
        squares = [_square(count, patch) for count, patch in known.values()]
        size = next((s for s in squares if s is not None), None)
    if size is None:
        have = "; ".join(
            f"{names[s]} has {n} patches of {_shown(p)}" for s, (n, p) in known.items()
        )
        raise ConfigError(
            f"{have}, which make no square image: give --image-size ROWS COLUMNS"
            if have
            else f"{names['stage1']} has fixed position embeddings, which do not tell the size "
            "of the image: give --image-size ROWS COLUMNS"
        )
    for stage, (count, patch) in known.items():
        if not _fits(size, count, patch):
            raise WeightsError(
                f"{names[stage]} has {count} patches of {_shown(patch)}, which do not make up an "
                f"image of {_shown(size)}: give files of one model, and --image-size ROWS COLUMNS "
                "as it was trained at where it is not square"
            )
    return size


def code_length(
    first: Stage1Shape, second: Stage2Shape | None, hints: Hints, names: Mapping
) -> int:
    """Positions of the code: those that are learned, as said, or as published."""
    known = {"stage1": first.code_length}
    if second is not None:
        known["stage2"] = second.code_length
    known = {stage: n for stage, n in known.items() if n is not None}
    if len(set(known.values())) > 1:
        raise WeightsError(
            f"{names['stage1']} has codes of {known['stage1']} positions and {names['stage2']} "
            f"of {known['stage2']}: give the stage II that was trained on this stage I"
        )
    for stage, length in known.items():
        if hints.code_length not in (None, length):
            raise ConfigError(
                f"{names[stage]} has codes of {length} positions, and --code-length is "
                f"{hints.code_length}: leave it out"
            )
    lengths = [*known.values(), hints.code_length, PUBLISHED_CODE_LENGTH]
    return next(n for n in lengths if n is not None)


def _square(count: int, patch: Size) -> Size | None:
    """The square image of so many patches; None if there is none."""
    side = math.isqrt(count * math.prod(patch))
    return (side, side) if _fits((side, side), count, patch) else None


def _fits(size: Size, count: int, patch: Size) -> bool:
    rows, columns = (whole / part for whole, part in zip(size, patch, strict=True))
    return rows.is_integer() and columns.is_integer() and rows * columns == count


def _shown(size: Size | None) -> str:
    return "" if size is None else f"{size[0]} x {size[1]}"
