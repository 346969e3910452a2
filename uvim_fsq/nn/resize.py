"""Between the grid of patches and the positions of the code: the two resizings of UViM."""

import einops
import flax.linen as nn
import jax
import jax.numpy as jnp

from uvim_fsq.fields import Size
from uvim_fsq.types import Array, Float

RESIZE_KINDS = ("linear", "learned")


class SequenceResize(nn.Module):
    """Changes the number of positions of a sequence.

    Attributes:
      kind: "linear", interpolation over the two-dimensional grid, antialiased where it shrinks;
        or "learned", a matrix over positions (the older variant).
      source, target: rows and columns before and after.
    """

    kind: str
    source: Size
    target: Size

    @nn.compact
    def __call__(self, tokens: Float[Array, "b s d"]) -> Float[Array, "b q d"]:
        if self.kind == "learned":
            shape = (self.source[0] * self.source[1], self.target[0] * self.target[1])
            matrix = self.param("matrix", nn.initializers.xavier_uniform(), shape)
            return jnp.einsum("bsd,sq->bqd", tokens, matrix.astype(tokens.dtype))
        if self.kind != "linear":
            raise ValueError(
                f"unknown resizing {self.kind!r}: choose one of "
                + ", ".join(RESIZE_KINDS)
            )
        if self.source == self.target:
            return tokens
        grid = einops.rearrange(tokens, "b (i j) d -> b i j d", i=self.source[0])
        shape = (grid.shape[0], *self.target, grid.shape[-1])
        return einops.rearrange(
            jax.image.resize(grid, shape, "linear"), "b i j d -> b (i j) d"
        )
