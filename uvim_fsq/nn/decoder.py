"""The autoregressive decoder block: causal self-attention, cross-attention, MLP."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from uvim_fsq.nn.attention import MultiHeadAttention
from uvim_fsq.nn.transformer import Mlp, layer_norm
from uvim_fsq.types import Array, DType, Float, Int


class KeysValues(NamedTuple):
    """Keys and values of a sequence, each (b, positions, heads, head size)."""

    key: Array
    value: Array


class DecoderBlock(nn.Module):
    """`x + self(norm(x))`, `x + cross(norm(x), encoded)`, `x + mlp(norm(x))`.

    Attention has no biases. `__call__` works on whole sequences; `step` on one new position of
    each sequence, with the keys and values of the earlier ones kept in a cache and those of the
    encoded image computed once.
    """

    width: int
    mlp_width: int
    num_heads: int
    dtype: DType = jnp.float32
    attention: str = "xla"

    def setup(self):
        def attention():
            return MultiHeadAttention(
                self.width,
                self.num_heads,
                use_bias=False,
                kernel_init=nn.initializers.lecun_normal(),
                dtype=self.dtype,
                implementation=self.attention,
            )

        self.self_norm = layer_norm()
        self.self_attention = attention()
        self.cross_norm = layer_norm()
        self.cross_attention = attention()
        self.mlp_norm = layer_norm()
        self.mlp = Mlp(self.mlp_width, self.dtype)

    def __call__(
        self, x: Float[Array, "b n d"], encoded: Float[Array, "b s d"]
    ) -> Float[Array, "b n d"]:
        x = x + self.self_attention(self.self_norm(x), causal=True)
        kept = self.cross_attention.keys_values(encoded)
        x = x + self.cross_attention(self.cross_norm(x), kept)
        return x + self.mlp(self.mlp_norm(x))

    def cross_keys_values(self, encoded: Float[Array, "b s d"]) -> KeysValues:
        """What cross-attention needs of an encoded image."""
        return KeysValues(*self.cross_attention.keys_values(encoded))

    def step(
        self,
        x: Float[Array, "b r d"],
        cache: KeysValues,
        position: Int[Array, ""],
        cross: KeysValues,
    ) -> tuple[Float[Array, "b r d"], KeysValues]:
        """One new position of `r` sequences per image.

        Args:
          x: the new tokens.
          cache: keys and values of the sequences so far, ((b r), n, heads, head size).
          position: index of the new tokens; later entries of the cache are not looked at.
          cross: `cross_keys_values` of the images, shared by an image's sequences.
        """
        images, sequences, width = x.shape
        normed = self.self_norm(x).reshape(images * sequences, 1, width)
        new = self.self_attention.keys_values(normed)
        cache = KeysValues(
            *(
                jax.lax.dynamic_update_slice_in_dim(
                    old, entry.astype(old.dtype), position, 1
                )
                for old, entry in zip(cache, new, strict=True)
            )
        )
        seen = jnp.arange(cache.key.shape[1]) <= position
        attended = self.self_attention(normed, cache, mask=seen[None, None, None])
        x = x + attended.reshape(x.shape)
        x = x + self.cross_attention(self.cross_norm(x), cross)
        return x + self.mlp(self.mlp_norm(x)), cache
