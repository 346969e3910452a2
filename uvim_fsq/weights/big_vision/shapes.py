"""What model a published UViM checkpoint is of, told from the shapes of its arrays alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from uvim_fsq.errors import WeightsError
from uvim_fsq.fields import Size
from uvim_fsq.weights.big_vision.names import (
    STAGE1_NAMES,
    STAGE2_NAMES,
    Names,
    find,
    published_name,
)
from uvim_fsq.weights.npz import Header

Headers = Mapping[str, Header]


@dataclass(frozen=True)
class TransformerShape:
    """Sizes that both stages have.

    Attributes:
      positions: learned position embeddings of the patches; None if there are none.
    """

    width: int
    num_heads: int
    mlp_width: int
    encoder_depth: int
    decoder_depth: int
    positions: int | None


@dataclass(frozen=True)
class Stage1Shape:
    """A stage I.

    Attributes:
      channels: classes of each channel, or values per pixel.
      pixels: of a patch.
      patch_size: rows and columns; None where only their product is known, without contexts.
      grid: number of patches, where positions or resizing are learned; None where they are not.
      code_length: None where the resizing is linear, which has no array.
    """

    transformer: TransformerShape
    channels: Mapping[str, int]
    pixels: int
    patch_size: Size | None
    grid: int | None
    code_length: int | None
    codebook_size: int
    code_dim: int
    encoder_context: bool
    decoder_context: bool


@dataclass(frozen=True)
class Stage2Shape:
    """A stage II; `code_length` is None where positions are not learned."""

    transformer: TransformerShape
    patch_size: Size
    code_length: int | None
    vocabulary_size: int


def stage_of(names: Headers) -> Literal["stage1", "stage2"] | None:
    """Which stage a file holds; None if it holds neither."""
    if "params/from_code/kernel" in find(names, STAGE1_NAMES):
        return "stage1"
    if "params/token_embedding/embedding" in find(names, STAGE2_NAMES):
        return "stage2"
    return None


def stage1_shape(headers: Headers, source: str) -> Stage1Shape:
    """The sizes of a stage I. `source` is what messages call the file.

    Raises:
      WeightsError: if an array that tells them is missing or has another number of axes.
    """
    contents = _Contents(headers, STAGE1_NAMES, source)
    channels = contents.channels()
    first = min(channels)
    pixels = contents.shape(f"params/embedding_{first}/kernel", 3)[1]
    contexts = {
        side: f"params/{side}_image/kernel" in contents.found
        for side in ("encoder", "decoder")
    }
    side = next((side for side, shown in contexts.items() if shown), None)
    patch = None
    if side is not None:
        patch = contents.shape(f"params/{side}_image/kernel", 4)[:2]
        if math.prod(patch) != pixels:
            raise WeightsError(
                f"{source} embeds patches of {pixels} pixels of the target and of {patch[0]} x "
                f"{patch[1]} of the image: expected the same of both"
            )
    if "codebook/quantizer/sums" not in contents.found:
        raise WeightsError(
            f"{source} has no codebook: expected state/dictionary and state/counts beside the "
            "parameters, as in published stage-I files; big_vision's format knows VQ only"
        )
    codebook_size, code_dim = contents.shape("codebook/quantizer/sums", 2)
    transformer = contents.transformer("decoder/layers")
    grid, code_length = transformer.positions, None
    if "params/downsample/matrix" in contents.found:
        grid, code_length = contents.shape("params/downsample/matrix", 2)
    return Stage1Shape(
        transformer,
        channels,
        pixels,
        (patch[0], patch[1]) if patch else None,
        grid,
        code_length,
        codebook_size,
        code_dim,
        contexts["encoder"],
        contexts["decoder"],
    )


def stage2_shape(headers: Headers, source: str) -> Stage2Shape:
    """As `stage1_shape`, of a stage II."""
    contents = _Contents(headers, STAGE2_NAMES, source)
    rows, columns, *_ = contents.shape("params/patches/kernel", 4)
    return Stage2Shape(
        contents.transformer("decoder_layers"),
        (rows, columns),
        contents.positions("decoder"),
        contents.shape("params/token_embedding/embedding", 2)[0],
    )


class _Contents:
    """The shapes in a file, under this package's names."""

    def __init__(self, headers: Headers, rules: Names, source: str):
        self.headers, self.rules, self.source = headers, rules, source
        self.found = find(headers, rules)

    def shape(self, ours: str, axes: int) -> tuple[int, ...]:
        """The shape of an array, of the first layer of a stack."""
        names = self.found.get(ours)
        spelled = f"{published_name(ours, self.rules, 0)} ({ours} here)"
        if not names:
            raise WeightsError(
                f"{self.source} lacks {spelled}: it is truncated or of another model"
            )
        shape = self.headers[names[min(names, key=str)]].shape
        if len(shape) != axes:
            raise WeightsError(
                f"{spelled} has shape {shape} in {self.source}: expected {axes} axes; the file "
                "is of another model"
            )
        return shape

    def channels(self) -> dict[str, int]:
        """The channels by name, each with its number of classes."""
        start, end = "params/embedding_", "/kernel"
        names = [
            ours.removeprefix(start).removesuffix(end)
            for ours in self.found
            if ours.startswith(start) and ours.endswith(end)
        ]
        if not names:
            raise WeightsError(
                f"{self.source} lacks params/embedding_.../kernel, which embed the target: it is "
                "truncated or of another model"
            )
        return {n: self.shape(f"{start}{n}{end}", 3)[0] for n in sorted(names)}

    def transformer(self, decoder: str) -> TransformerShape:
        """Sizes of the transformers, taken from the encoder's first layer."""
        layer = "params/encoder/layers"
        width, heads, size = self.shape(f"{layer}/attention/query/kernel", 3)
        if heads * size != width:
            raise WeightsError(
                f"{self.source} has {heads} heads of size {size} at width {width}: expected "
                "heads that divide the width among them"
            )
        return TransformerShape(
            width,
            heads,
            self.shape(f"{layer}/mlp/expand/kernel", 2)[1],
            self.depth(layer),
            self.depth(f"params/{decoder}"),
            self.positions("encoder"),
        )

    def depth(self, stack: str) -> int:
        """Layers of a stack."""
        kernel = f"{stack}/mlp/expand/kernel"
        self.shape(kernel, 2)
        layers = set(self.found[kernel])
        return 1 + max(layer for layer in layers if layer is not None)

    def positions(self, side: str) -> int | None:
        """The number of learned position embeddings, None without any."""
        name = f"params/{side}_positions/embedding"
        return self.shape(name, 3)[1] if name in self.found else None
