"""Stage I: the autoencoder of the target, with a discrete bottleneck."""

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from uvim_fsq.models.uvim.stage1.code_dropout import code_dropout_mask
from uvim_fsq.nn.patches import (
    LabelEmbedding,
    PatchEmbedding,
    Size,
    grid_size,
    patchify,
)
from uvim_fsq.nn.positions import PositionEmbedding
from uvim_fsq.nn.products import summed_product
from uvim_fsq.nn.resize import SequenceResize
from uvim_fsq.nn.transformer import Transformer
from uvim_fsq.quantizers import Quantizer, QuantizerOutput
from uvim_fsq.types import Array, Bool, DType, Float, Int, Integer, Key, Num


class Stage1Output(NamedTuple):
    """What the decoder's trunk makes of a target, and what the bottleneck did."""

    tokens: Array
    quantized: QuantizerOutput


class Head(nn.Module):
    """One dense layer from a token to the logits of its patch, (classes, pixels)."""

    classes: int
    pixels: int
    dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, tokens: Float[Array, "b p d"]) -> Float[Array, "b p v x"]:
        zeros = nn.initializers.zeros_init()
        shape = (tokens.shape[-1], self.classes, self.pixels)
        kernel = self.param("kernel", zeros, shape)
        bias = self.param("bias", zeros, shape[1:])
        return apply_head({"kernel": kernel, "bias": bias}, tokens, self.dtype)


def apply_head(
    head: Mapping[str, Array], tokens: Float[Array, "b p d"], dtype: DType
) -> Float[Array, "b p v x"]:
    """Logits of a head: the product's factors in `dtype`, its sum and the bias float32."""
    product = summed_product(dtype)
    logits = product(tokens, head["kernel"], (((2,), (0,)), ((), ())))
    return logits + head["bias"][None, None]


class Stage1Model(nn.Module):
    """ViT encoder -> quantizer -> ViT decoder over the patches of a target.

    Attributes:
      channels: classes of each channel of the target (values per pixel if it is continuous).
      quantizer: the bottleneck.
      image_size, patch_size: rows and columns, in pixels.
      code_length: positions of the guiding code; a square number where `resize` is "linear".
      encoder_context, decoder_context: whether either side also sees the image.
      resize: "linear" or "learned", see `SequenceResize`.
      positions: "learned" or "sincos2d".
      code_dropout: "none", "random" or "ordered", see `code_dropout_mask`.
      dtype: of the matrix products' factors; all else is float32, see `nn.products`.
      attention: "xla" or "cudnn", see `nn.attention.attend`.
      rematerialize: "nothing", "cheap" or "everything", see `nn.transformer.scan_layers`.
    """

    channels: Mapping[str, int]
    quantizer: Quantizer
    image_size: Size
    patch_size: Size
    width: int
    encoder_depth: int
    decoder_depth: int
    mlp_width: int
    num_heads: int
    code_length: int
    encoder_context: bool = True
    decoder_context: bool = True
    resize: str = "linear"
    positions: str = "learned"
    code_dropout: str = "random"
    dtype: DType = jnp.float32
    attention: str = "xla"
    unroll: int = 1
    rematerialize: str = "cheap"

    def setup(self):
        grid = grid_size(self.image_size, self.patch_size)
        code_grid = self._code_grid()
        pixels = math.prod(self.patch_size)

        def image_embedding():
            return PatchEmbedding(self.width, self.patch_size, self.dtype)

        def transformer(depth):
            return Transformer(
                depth,
                self.mlp_width,
                self.num_heads,
                self.dtype,
                self.attention,
                self.unroll,
                self.rematerialize,
            )

        self.embedding = {
            name: LabelEmbedding(classes, self.width, self.dtype)
            for name, classes in self.channels.items()
        }
        if self.encoder_context:
            self.encoder_image = image_embedding()
        self.encoder_positions = PositionEmbedding(self.positions, grid, self.width)
        self.encoder = transformer(self.encoder_depth)
        self.downsample = SequenceResize(self.resize, grid, code_grid)
        self.to_code = nn.Dense(self.quantizer.code_dim)
        self.from_code = nn.Dense(self.width)
        self.upsample = SequenceResize(self.resize, code_grid, grid)
        if self.decoder_context:
            self.decoder_image = image_embedding()
        self.decoder_positions = PositionEmbedding(self.positions, grid, self.width)
        self.decoder = transformer(self.decoder_depth)
        self.head = {
            name: Head(classes, pixels, self.dtype)
            for name, classes in self.channels.items()
        }

    def _code_grid(self) -> Size:
        if self.resize == "learned":
            return 1, self.code_length
        side = math.isqrt(self.code_length)
        if side * side != self.code_length:
            raise ValueError(
                f"code length {self.code_length} is not a square number, which the linear "
                f"resizing of the bottleneck needs: choose {side**2} or {(side + 1) ** 2}, or "
                'resize="learned"'
            )
        return side, side

    def latent(
        self,
        planes: Mapping[str, Num[Array, "b h w *v"]],
        image: Num[Array, "b h w c"] | None,
    ) -> Float[Array, "b n m"]:
        """The continuous code `z` of a target, float32."""
        embedded = [
            embedding(patchify(planes[name], self.patch_size))
            for name, embedding in self.embedding.items()
        ]
        tokens = functools.reduce(jnp.add, embedded)
        if self.encoder_context:
            tokens = tokens + self.encoder_image(_given(image, "image, its context,"))
        tokens = self.encoder(self.encoder_positions(tokens))
        return self.to_code(self.downsample(tokens))

    def encode(
        self,
        planes: Mapping[str, Num[Array, "b h w *v"]],
        image: Num[Array, "b h w c"] | None,
    ) -> Int[Array, "b n"] | None:
        """The guiding code of a target, as indices."""
        return self.quantizer(self.latent(planes, image), train=False).indices

    def decode_tokens(
        self, codes: Float[Array, "b n m"], image: Num[Array, "b h w c"] | None
    ) -> Float[Array, "b p d"]:
        """The decoder's trunk: one token per patch, for the heads."""
        tokens = self.upsample(self.from_code(codes))
        if self.decoder_context:
            tokens = tokens + self.decoder_image(_given(image, "image, its context,"))
        return self.decoder(self.decoder_positions(tokens))

    def __call__(
        self,
        planes: Mapping[str, Num[Array, "b h w *v"]],
        image: Num[Array, "b h w c"] | None,
        *,
        train: bool,
        key: Key | None = None,
        mask: Bool[Array, "b n"] | None = None,
    ) -> Stage1Output:
        """Encodes, quantizes and decodes as far as the tokens that the heads read.

        Args:
          planes: the target's channels, integers (b h w) or floats (b h w v).
          image: scaled to [-1, 1]; needed where either context is on.
          train: with code dropout and the quantizer's statistics.
          key: for code dropout.
          mask: False at the codes of examples that only fill a batch up, which the quantizer's loss
            and statistics leave out.
        """
        quantized = self.quantizer(self.latent(planes, image), train=train, mask=mask)
        codes = quantized.codes
        if train and self.code_dropout != "none":
            threshold_key, permutation_key = jax.random.split(
                _given(key, "random key, for code dropout,")
            )
            batch, length = codes.shape[:2]
            mask = code_dropout_mask(
                self.code_dropout, batch, length, threshold_key, permutation_key
            )
            codes = jnp.where(mask[..., None], codes, 0.0)
        return Stage1Output(self.decode_tokens(codes, image), quantized)

    def outputs(
        self, tokens: Float[Array, "b p d"]
    ) -> dict[str, Float[Array, "b p v x"]]:
        """The heads: logits (or values) of every channel, patch by patch."""
        return {name: head(tokens) for name, head in self.head.items()}

    def decode(
        self, indices: Integer[Array, "b n"], image: Num[Array, "b h w c"] | None
    ) -> dict[str, Float[Array, "b p v x"]]:
        """Outputs for a guiding code given as indices."""
        codes = self.quantizer.indices_to_codes(indices)
        return self.outputs(self.decode_tokens(codes, image))

    def reconstruct(
        self,
        planes: Mapping[str, Num[Array, "b h w *v"]],
        image: Num[Array, "b h w c"] | None,
    ) -> dict[str, Float[Array, "b p v x"]]:
        """Outputs for a target's own code; touches every parameter, so `init` uses it."""
        return self.outputs(self(planes, image, train=False).tokens)


def _given(array: Array | None, what: str) -> Array:
    if array is None:
        raise ValueError(f"this stage-I model needs the {what} and got None")
    return array
