"""Stage II: an encoder-decoder transformer that predicts the guiding code from the image."""

import flax.linen as nn
import jax.numpy as jnp

from uvim_fsq.fields import Size
from uvim_fsq.nn.decoder import DecoderBlock
from uvim_fsq.nn.patches import PatchEmbedding, grid_size
from uvim_fsq.nn.positions import PositionEmbedding
from uvim_fsq.nn.products import summed_product
from uvim_fsq.nn.transformer import Transformer, layer_norm, scan_layers
from uvim_fsq.types import Array, DType, Float, Int

START_TOKEN = 0
"""The decoder's first input. It lies outside the codebook: index i is token i + 1."""


def indices_to_tokens(indices: Int[Array, "*b"]) -> Int[Array, "*b"]:
    """Tokens of codebook indices."""
    return indices + 1


def tokens_to_indices(tokens: Int[Array, "*b"]) -> Int[Array, "*b"]:
    """Codebook indices of tokens that are not the start token."""
    return tokens - 1


class Stage2Model(nn.Module):
    """ViT encoder of the image, causal decoder over the indices of its guiding code.

    Attributes:
      codebook_size: of stage I's quantizer; the vocabulary has one token more.
      code_length: positions of the guiding code.
      image_size, patch_size: rows and columns, in pixels.
      positions: "learned" or "sincos2d", of both sides.
      dtype: of the matrix products' factors; all else is float32, see `nn.products`.
      attention: "xla" or "cudnn", see `nn.attention.attend`.
      rematerialize: "nothing", "cheap" or "everything", see `nn.transformer.scan_layers`.
    """

    codebook_size: int
    code_length: int
    image_size: Size
    patch_size: Size
    width: int
    encoder_depth: int
    decoder_depth: int
    mlp_width: int
    num_heads: int
    positions: str = "learned"
    dtype: DType = jnp.float32
    attention: str = "xla"
    unroll: int = 1
    rematerialize: str = "cheap"

    def setup(self):
        grid = grid_size(self.image_size, self.patch_size)
        self.patches = PatchEmbedding(self.width, self.patch_size, self.dtype)
        self.encoder_positions = PositionEmbedding(self.positions, grid, self.width)
        self.encoder = Transformer(
            self.encoder_depth,
            self.mlp_width,
            self.num_heads,
            self.dtype,
            self.attention,
            self.unroll,
            self.rematerialize,
        )
        self.token_embedding = nn.Embed(
            self.vocabulary_size, self.width, embedding_init=nn.initializers.normal(1.0)
        )
        self.decoder_positions = PositionEmbedding(
            self.positions, (1, self.code_length), self.width
        )
        self.decoder_layers = self.block()
        self.decoder_norm = layer_norm()
        self.logits = nn.Dense(
            self.vocabulary_size,
            kernel_init=nn.initializers.zeros_init(),
            dot_general=summed_product(self.dtype),
        )

    @property
    def vocabulary_size(self) -> int:
        """The codewords and the start token."""
        return self.codebook_size + 1

    @nn.nowrap
    def block(self) -> DecoderBlock:
        """One decoder block, as `decoder_layers` stacks them."""
        return DecoderBlock(
            self.width, self.mlp_width, self.num_heads, self.dtype, self.attention
        )

    def encode(self, image: Float[Array, "b h w c"]) -> Float[Array, "b p d"]:
        """Encodes an image that is scaled to [-1, 1]."""
        return self.encoder(self.encoder_positions(self.patches(image)))

    def __call__(
        self, image: Float[Array, "b h w c"], indices: Int[Array, "b n"]
    ) -> Float[Array, "b n v"]:
        """Logits of every position's token given the image and the earlier indices."""
        encoded = self.encode(image)
        tokens = indices_to_tokens(indices)
        shifted = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=START_TOKEN)
        x = self.decoder_positions(self.token_embedding(shifted))

        scan = scan_layers(
            lambda block, x: block(x, encoded),
            self.decoder_depth,
            self.unroll,
            self.rematerialize,
        )
        x, _ = scan(self.decoder_layers, x, None)
        return self.token_logits(x)

    def embed_token(
        self, tokens: Int[Array, "b r"], position: Int[Array, ""]
    ) -> Float[Array, "b r d"]:
        """Decoder input for tokens that all stand at `position`."""
        return self.decoder_positions.at(self.token_embedding(tokens), position)

    def token_logits(self, x: Float[Array, "b r d"]) -> Float[Array, "b r v"]:
        """Float32 logits of the decoder's outputs."""
        return self.logits(self.decoder_norm(x))
