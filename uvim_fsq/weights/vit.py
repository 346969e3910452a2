"""Reads the image encoder of a published ViT: `.npz` archives of the AugReg and big_vision releases.

The names have changed with the years, and all of them are read: attention and MLP numbered within
a layer as before Flax linen (`MultiHeadDotProductAttention_1`, `MlpBlock_3`, `LayerNorm_2`) or as
in linen (`_0`, `_0`, `_1`); position embeddings at the top, in `Transformer`, or in
`Transformer/posembed_input`; a name for each layer (`encoderblock_7`) or all layers in one
(`encoderblock`); everything below `params/`, below `opt/target/`, or below nothing. What a
classifier has beside its encoder is left out: head, class token, and the pooling of tokens.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.ndimage

from uvim_fsq.errors import WeightsError
from uvim_fsq.fields import Size
from uvim_fsq.types import Float
from uvim_fsq.weights.big_vision.names import find
from uvim_fsq.weights.npz import open_archive, read_headers

POSITIONS = "encoder_positions/embedding"
"""Stage II's name of the image encoder's position embeddings."""

_LAYERS = "encoder/layers/"
_PATCHES = "patches/kernel"
_QUERY = f"{_LAYERS}attention/query/kernel"
_EXPAND = f"{_LAYERS}mlp/expand/kernel"
_LAYER_NAMES = {
    "LayerNorm_0": "attention_norm",
    "LayerNorm_1": "mlp_norm",
    "MultiHeadDotProductAttention_0": "attention",
    "MlpBlock_0/Dense_0": "mlp/expand",
    "MlpBlock_0/Dense_1": "mlp/contract",
}
_NAMES = [
    ("params/embedding/*", "patches/*"),
    ("params/pos_embedding", POSITIONS),
    ("params/Transformer/pos_embedding", POSITIONS),
    ("params/Transformer/posembed_input/pos_embedding", POSITIONS),
    ("params/Transformer/encoder_norm/*", "encoder/norm/*"),
    *[
        (f"params/Transformer/{block}/{theirs}/*", f"{_LAYERS}{ours}/*")
        for block in ("encoderblock_#", "encoderblock")
        for theirs, ours in _LAYER_NAMES.items()
    ],
]
_LEFT_OUT = {
    r"cls": "class token",
    r"head/.+": "head",
    r"pre_logits/.+": "pre-logits layer",
    r"probe|(MAPHead|MultiHeadDotProductAttention|MlpBlock|LayerNorm)_0/.+": "pooling",
}

_Shape = tuple[int, ...]
_Shapes = dict[str, _Shape]
# Names in the file by stage II's name and layer; None for what has no layers or has them stacked.
_Found = dict[str, dict[int | None, str]]


@dataclass(frozen=True)
class VitLayout:
    """What the file of a ViT holds, known without reading its arrays.

    Attributes:
      patch_size, width, encoder_depth, mlp_width, num_heads: as in `Stage2Model`.
      grid: rows and columns of its position embeddings; None if they are not learned.
      class_position: whether the first position is the class token's.
      stacked: whether the layers are stacked in the file.
      left_out: what of the file is not taken, in words.
      names: names in the file by stage II's names, one for each layer that is not stacked.
    """

    patch_size: Size
    width: int
    encoder_depth: int
    mlp_width: int
    num_heads: int
    grid: Size | None
    class_position: bool
    stacked: bool
    left_out: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]


def layout(path: Path) -> VitLayout:
    """The sizes and names of a ViT, from the headers of its file alone.

    Raises:
      WeightsError: if the file is missing, broken or pickled, or holds no whole, plain ViT.
    """
    headers = read_headers(path)
    shapes = {name: header.shape for name, header in headers.items()}
    found = find(shapes, _NAMES)
    patch_size, width, depth, mlp_width, num_heads = _sizes(path, shapes, found)
    left_out = _left_out(path, shapes, found)
    grid, class_position = None, False
    if POSITIONS in found:
        grid, class_position = _grid(path, shapes[found[POSITIONS][None]])
    stacked = None in found[_QUERY]
    names = {}
    for name, shape in _expected(patch_size, width, mlp_width, num_heads).items():
        wanted: dict[int | None, _Shape] = {None: shape}
        if name.startswith(_LAYERS) and stacked:
            wanted = {None: (depth, *shape)}
        elif name.startswith(_LAYERS):
            wanted = dict.fromkeys(range(depth), shape)
        names[name] = _complete(path, name, wanted, found.get(name, {}), shapes)
    if POSITIONS in found:
        names[POSITIONS] = (found[POSITIONS][None],)
    for name in found.keys() - names.keys():
        raise _not_plain(path, next(iter(found[name].values())))
    for name in (name for group in names.values() for name in group):
        dtype = headers[name].dtype
        # bfloat16 is two raw bytes to NumPy.
        if dtype.kind != "f" and dtype.str != "|V2":
            raise WeightsError(
                f"{name} in {path} holds {dtype}: expected float numbers"
            )
    return VitLayout(
        patch_size=patch_size,
        width=width,
        encoder_depth=depth,
        mlp_width=mlp_width,
        num_heads=num_heads,
        grid=grid,
        class_position=class_position,
        stacked=stacked,
        left_out=left_out,
        names=names,
    )


def read(path: Path, layout: VitLayout) -> dict[str, np.ndarray]:
    """The arrays of a ViT's encoder by stage II's names, float32, its layers stacked.

    Position embeddings are (positions, width), in the file's own grid, without the class token's.

    Raises:
      WeightsError: if the file is broken.
    """
    found = {}
    with open_archive(path) as arrays:
        for name, theirs in layout.names.items():
            parts = [arrays[one].astype(np.float32) for one in theirs]
            layers = name.startswith(_LAYERS) and not layout.stacked
            found[name] = np.stack(parts) if layers else parts[0]
    if layout.grid is not None:
        positions = found[POSITIONS].reshape(-1, layout.width)
        found[POSITIONS] = positions[int(layout.class_position) :]
    return found


def resample(
    positions: Float[np.ndarray, "s d"], old: Size, new: Size
) -> Float[np.ndarray, "p d"]:
    """Position embeddings of one grid, interpolated bilinearly at the positions of another.

    The corners of the grids are aligned: position (i, j) of `new` lies at row
    `i (old rows - 1) / (new rows - 1)` of `old`, and likewise in its column.
    """
    if old == new:
        return positions
    zoom = (new[0] / old[0], new[1] / old[1], 1)
    # Rounding puts the last row of some grids a hair outside the old one, where the default mode
    # gives zeros.
    grid = positions.reshape(*old, -1)
    table = np.asarray(scipy.ndimage.zoom(grid, zoom, order=1, mode="nearest"))
    return table.reshape(new[0] * new[1], -1)


def _left_out(path: Path, shapes: _Shapes, found: _Found) -> tuple[str, ...]:
    """What a file has beside the encoder, in words."""
    prefix = found[_PATCHES][None].removesuffix("embedding/kernel")
    taken = {name for by_layer in found.values() for name in by_layer.values()}
    left_out = set()
    for name in shapes.keys() - taken:
        if not name.startswith(prefix):
            continue  # The optimizer's, and the like.
        short = name.removeprefix(prefix)
        if short.startswith("Transformer/"):
            raise _not_plain(path, name)
        known = (w for p, w in _LEFT_OUT.items() if re.fullmatch(p, short))
        left_out.add(next(known, short.split("/")[0]))
    return tuple(sorted(left_out))


def _not_plain(path: Path, name: str) -> WeightsError:
    return WeightsError(
        f"{path} is no plain ViT: stage II's image encoder has no place for {name}; choose a "
        "ViT of the AugReg or big_vision releases"
    )


def _sizes(
    path: Path, shapes: _Shapes, found: _Found
) -> tuple[Size, int, int, int, int]:
    """Patch size, width, layers, MLP width and heads, as the kernels say."""
    if not found.keys() >= {_PATCHES, _QUERY, _EXPAND}:
        some = ", ".join([*list(shapes)[:3], "..."]) if shapes else "no arrays"
        raise WeightsError(
            f"{path} holds no ViT: expected names as in the AugReg and big_vision releases "
            f"(embedding/kernel, Transformer/encoderblock_0/...), found {some}: give the .npz "
            "file of a ViT"
        )
    patches, query, expand = (
        shapes[next(iter(found[name].values()))] for name in (_PATCHES, _QUERY, _EXPAND)
    )
    stacked = None in found[_QUERY]
    if (len(patches), len(query) - stacked, len(expand) - stacked) != (4, 3, 2):
        raise WeightsError(
            f"{path} is no plain ViT: expected kernels of 4 axes for patches, 3 for queries and "
            f"2 for MLPs, found {patches}, {query} and {expand}: choose a ViT of the AugReg or "
            "big_vision releases"
        )
    last = max(layer or 0 for names in found.values() for layer in names)
    depth = query[0] if stacked else last + 1
    return (patches[0], patches[1]), patches[3], depth, expand[-1], query[-2]


def _grid(path: Path, shape: _Shape) -> tuple[Size, bool]:
    """The square grid of position embeddings, and whether the class token has one before it."""
    count = math.prod(shape[:-1])
    for class_position in (False, True):
        side = math.isqrt(max(count - class_position, 0))
        if side and side**2 + class_position == count:
            return (side, side), class_position
    raise WeightsError(
        f"{path} has {count} position embeddings: expected those of a square grid, with or "
        "without one for the class token; choose a ViT that was trained on square images"
    )


def _expected(patch_size: Size, width: int, mlp_width: int, num_heads: int) -> _Shapes:
    """Shapes of an encoder's arrays by stage II's names; of one layer, where there are layers."""
    heads = (num_heads, width // num_heads)
    attention = {
        f"{name}/{part}": shape
        for name in ("query", "key", "value")
        for part, shape in (("kernel", (width, *heads)), ("bias", heads))
    } | {"out/kernel": (*heads, width), "out/bias": (width,)}
    layer = {f"attention/{name}": shape for name, shape in attention.items()} | {
        "mlp/expand/kernel": (width, mlp_width),
        "mlp/expand/bias": (mlp_width,),
        "mlp/contract/kernel": (mlp_width, width),
        "mlp/contract/bias": (width,),
    }
    norms = {"encoder/norm": (width,)} | {
        f"{_LAYERS}{name}": (width,) for name in ("attention_norm", "mlp_norm")
    }
    return (
        {"patches/kernel": (*patch_size, 3, width), "patches/bias": (width,)}
        | {f"{_LAYERS}{name}": shape for name, shape in layer.items()}
        | {f"{n}/{part}": s for n, s in norms.items() for part in ("scale", "bias")}
    )


def _complete(
    path: Path,
    name: str,
    wanted: Mapping[int | None, _Shape],
    found: Mapping[int | None, str],
    shapes: _Shapes,
) -> tuple[str, ...]:
    """The file's names of an array, layer by layer, after a look at their shapes."""
    for layer, shape in wanted.items():
        where = "" if layer is None else f" of layer {layer}"
        if layer not in found:
            raise WeightsError(
                f"{path} has no array for {name}{where}, expected of shape {shape}: it is not "
                "whole, or no plain ViT"
            )
        if shapes[found[layer]] != shape:
            raise WeightsError(
                f"{found[layer]} in {path} has shape {shapes[found[layer]]}, where a ViT of "
                f"its sizes has {shape}: choose a plain ViT"
            )
    return tuple(found[layer] for layer in wanted)
